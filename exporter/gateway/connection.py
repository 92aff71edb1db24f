"""One client's connection: bounded in number, and each request in time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporter.gateway.answers import Answer, come_back, problem
from exporter.gateway.tally import Tally

# How long a client that was turned away may go on sending; cut off at once it might not see why.
_LINGER_SECONDS = 1.0
# Connections being turned away so gently at the same time; others may be cut off before they have read why.
_LINGERING_MAX = 256


@dataclass(slots=True)
class Door:
    """What the connections of a server share. The event loop's thread alone uses it."""

    connections_max: int
    request_seconds_max: float
    tally: Tally
    lingering: int = 0


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with an end to its patience, and a bound on how many there are.

    Runs on the server's event loop. A request that is not complete in time is answered with 408, a connection too
    many with 503, whether or not it has asked for anything yet.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = logging.getLogger("penstock.gateway.http")
        # Set while a request has begun and not ended, or none has come yet.
        self._patience: asyncio.TimerHandle | None = None
        self._is_incomplete = False
        self._is_turned_away = False
        self._door = door

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self._door.connections_max:
            self.transport = transport
            self._turn_away(come_back(503, "too many connections", 1))
            return
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        if self._is_turned_away:
            return
        super().data_received(data)
        if not self._is_incomplete:
            self._lose_patience_no_more()
        elif self._patience is None:
            self._wait_for_request()

    def on_message_begin(self) -> None:
        self._is_incomplete = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._is_incomplete = False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose_patience_no_more()
        if self._is_turned_away:
            self._door.lingering -= 1
        else:
            super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._lose_patience_no_more()
        self._answer(problem(400, msg))
        self.transport.close()

    def _answer(self, answer: Answer) -> None:
        """Where there is no request that could carry it."""
        self._door.tally.answered(answer)
        self.transport.write(_raw(answer))

    def _wait_for_request(self) -> None:
        self._patience = self.loop.call_later(self._door.request_seconds_max, self._on_late)

    def _lose_patience_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _on_late(self) -> None:
        self._patience = None
        cycle = self.cycle
        # Behind an answer that has begun, or in front of one that is still to come, it would be misread.
        is_first = not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started)
        if self._is_incomplete and is_first:
            self._answer(problem(408, "the request was not complete in time"))
        self.transport.close()

    def _turn_away(self, answer: Answer) -> None:
        self._is_turned_away = True
        self._door.lingering += 1
        self._answer(answer)
        if self._door.lingering > _LINGERING_MAX:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._patience = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)


def _raw(answer: Answer) -> bytes:
    """The answer as it goes over the wire, where no request can carry it."""
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}".encode()]
    return b"\r\n".join([*head, *(name + b": " + value for name, value in headers), b"", answer.body])
