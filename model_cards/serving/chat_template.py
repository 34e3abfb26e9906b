"""Chat templates that are given in a file: Jinja, as in `tokenizer.chat_template` of transformers."""

import json
from contextlib import closing
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# The conversation that a template must be able to render. Some templates accept no system message.
CONVERSATION = (
    {"role": "user", "content": "First question"},
    {"role": "assistant", "content": "First answer"},
    {"role": "user", "content": "Second question"},
)


class _Generation(Extension):
    """The tag `generation` of transformers, which marks the model's part of a conversation and prints nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def read_chat_template(path: Path) -> str:
    """
    Read a chat template, and check that it renders a conversation.

    Args:
        path: Text file with a Jinja template.

    Raises:
        ValueError: The file is not text or no template, the template fails, or it leaves out the messages.
        OSError: The file cannot be read.
    """
    try:
        template = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"chat_template must be a text file in UTF-8, got {path}") from error
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    try:
        text = environment.from_string(template).render(
            messages=CONVERSATION,
            add_generation_prompt=True,
            bos_token="",
            eos_token="",
            raise_exception=_raise_exception,
            strftime_now=datetime.now().strftime,
        )
    except TemplateSyntaxError as error:
        raise ValueError(
            f"chat_template must be a Jinja template, but {path}, line {error.lineno}: {error.message}"
        ) from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ValueError(f"chat_template must render a conversation, but {path} fails: {error}") from error
    _check_rendering(path, text)
    return template


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def check_template_of_server(path: Path, address: str, api_key: str) -> None:
    """
    Check that llama.cpp, which has its own Jinja, renders the chat template of a running server.

    Args:
        path: File that the template was read from.
        address: Address of llama.cpp's server.
        api_key: Its API key.

    Raises:
        ValueError: It does not.
    """
    status, answer = _ask(address, api_key, "POST", "/apply-template", {"messages": CONVERSATION})
    if status != 200:
        raise ValueError(f"llama.cpp must be able to render {path}: {answer['error']['message']}")
    _check_rendering(path, answer["prompt"])


def supports_tools(address: str, api_key: str) -> bool:
    """Whether the chat template of a running server of llama.cpp has a place for tools."""
    status, answer = _ask(address, api_key, "GET", "/props")
    assert status == 200, answer
    return answer["chat_template_caps"]["supports_tools"]


def _ask(address: str, api_key: str, method: str, route: str, body: object = None) -> tuple[int, Any]:
    server = urlsplit(address)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
    with closing(HTTPConnection(server.hostname or "", server.port)) as connection:
        connection.request(method, route, None if body is None else json.dumps(body), headers)
        with connection.getresponse() as response:
            return response.status, json.load(response)


def _check_rendering(path: Path, text: str) -> None:
    last = CONVERSATION[-1]["content"]
    if last not in text:
        raise ValueError(f"chat_template must print the messages, but {path} leaves out the last one")
