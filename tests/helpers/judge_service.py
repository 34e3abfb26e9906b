"""A judge behind a server in this process."""

from contextlib import contextmanager

from evaluation.http_server import address_of
from evaluation.models.llama_server import ServerSettings, listening_socket
from evaluation.rust.service.server import judge_server

TOKEN = "a token"


@contextmanager
def serving(judge, capacity=64):
    """Run the server of a judge; yields its queue and its address."""
    settings = ServerSettings(api_key=TOKEN)
    with listening_socket(settings) as listener:
        address = address_of(listener, settings.host)
        with judge_server(judge, TOKEN, capacity, listener) as queue:
            yield queue, address
