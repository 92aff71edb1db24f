"""A gateway that is really open, over a real or a hand-made engine, and raw connections to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from engine import Place, Refusal, Written
from engine.core.snapshot import GatewaySnapshot
from exporter.door import IntakeDoor
from exporter.gateway.server import GatewayServer
from exporter.gateway.settings import GatewaySettings
from exporter.web_config import Access

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}
PATH = "/v1/records"


class FakeIntake:
    """Takes everything as if it were written to partition 1, or answers as it is told."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.partitions: list[int | None] = []
        # Instead of taking; may raise.
        self.answer: Callable[[Sequence[Any]], Written | Refusal | None] = lambda _: None
        # What a snapshot of the engine would tell of the gateway.
        self.gateway: Callable[[], GatewaySnapshot] | None = None

    def attach_gateway(self, snapshot: Callable[[], GatewaySnapshot]) -> None:
        self.gateway = snapshot

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        answer = self.answer(values)
        if answer is not None:
            return answer
        first = len(self.values) + 1
        self.values += values
        self.partitions.append(partition)
        return Written(tuple(Place(partition or 1, first + index) for index in range(len(values))))


@dataclass(frozen=True)
class OpenGateway:
    """The server, and a client in front of it."""

    server: GatewayServer
    client: httpx.Client

    def post(self, body: bytes | str, headers: dict[str, str] | None = None, path: str = PATH) -> httpx.Response:
        return self.client.post(path, content=body, headers=JSON if headers is None else headers)

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection((self.server.settings.host, self.server.port), timeout=20) as connection:
            yield connection


@contextmanager
def open_gateway(engine: IntakeDoor, *, access: Access | None = None, **settings: Any) -> Iterator[OpenGateway]:
    server = GatewayServer(engine, GatewaySettings(port=0, **settings), access=access)
    with server, httpx.Client(base_url=server.url, timeout=20) as client:
        yield OpenGateway(server, client)


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or cuts off who goes on sending behind its answer."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def head(method: str = "POST", path: str = PATH, **headers: object) -> bytes:
    """The head of a request; `content_length=5` is `content-length: 5`."""
    named = {"host": "localhost", "content-type": "application/json", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()
