"""One client's connection, with an end to its patience: who sends or reads too slowly is cut off."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

# A whole request, head and body, from its first byte; also the first byte of a new connection.
REQUEST_SECONDS_MAX = 30.0
# How long a client may leave unread what is sent to it.
UNREAD_SECONDS_MAX = 30.0


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 with two time limits; its own is only for what lies between two requests.

    Runs on the server's event loop.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = logging.getLogger("penstock.management.http")
        self._incomplete: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._incomplete = self.loop.call_later(REQUEST_SECONDS_MAX, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_request_complete():
            _cancel(self._incomplete)
            self._incomplete = None
        elif self._incomplete is None:
            self._incomplete = self.loop.call_later(REQUEST_SECONDS_MAX, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._unread)
        self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _cancel(self._incomplete)
        _cancel(self._unread)

    def _is_request_complete(self) -> bool:
        match self.conn.their_state:
            case h11.SEND_BODY:
                return False
            case h11.IDLE:
                # Between two requests, unless part of a head is there.
                return not self.conn.trailing_data[0]
            case _:
                return True


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
