"""Messages between the sandbox and its server: a JSON header and raw bytes over a socket."""

import json
import socket
import struct
from collections.abc import Iterable


def send(connection: socket.socket, header: dict, blobs: Iterable[bytes] = ()):
    """Send one message: the size of the header, the header in JSON, then the blobs."""
    blobs = list(blobs)
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    connection.sendall(b"".join([struct.pack("!Q", len(text)), text, *blobs]))


def receive(connection: socket.socket) -> tuple[dict, list[bytes]]:
    """Receive the header and the blobs of one message. Raises `EOFError` if the connection closes first."""
    (size,) = struct.unpack("!Q", _exactly(connection, 8))
    header = json.loads(_exactly(connection, size))
    return header, [_exactly(connection, size) for size in header.pop("blobs")]


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise EOFError("the connection was closed by the other side")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
