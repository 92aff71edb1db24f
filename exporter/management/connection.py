"""One client's connection, with an end to its patience: who sends or reads too slowly is cut off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from logging import Logger
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.crowd import Crowd, Guest

# A whole request, head and body, from its first byte; also the first byte of a new connection.
REQUEST_SECONDS_MAX = 30.0
# How long a client may leave unread what is sent to it.
UNREAD_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class House:
    """What the connections of a server share."""

    crowd: Crowd
    logger: Logger


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 with two time limits; its own is only for what lies between two requests.

    Runs on the server's event loop. Tells the crowd when it rests and when it works.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        guest: Guest,
        house: House,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = house.logger
        self._guest = guest
        self._crowd = house.crowd
        self._incomplete: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._guest.transport = transport
        self._incomplete = self.loop.call_later(REQUEST_SECONDS_MAX, transport.abort)

    def handle_events(self) -> None:
        super().handle_events()
        if self.transport.is_closing():
            return
        if self._is_request_complete():
            _cancel(self._incomplete)
            self._incomplete = None
            if self._is_answering():
                self._crowd.work(self._guest)
        elif self._incomplete is None:
            self._crowd.rest(self._guest)
            self._incomplete = self.loop.call_later(REQUEST_SECONDS_MAX, self.transport.abort)

    def on_response_complete(self) -> None:
        self._guest.is_known = True
        self._crowd.rest(self._guest)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._crowd.rest(self._guest)
        self._unread = self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering():
            self._crowd.work(self._guest)
        _cancel(self._unread)
        self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self._guest)
        super().connection_lost(exc)
        _cancel(self._incomplete)
        _cancel(self._unread)

    def send_400_response(self, msg: str) -> None:
        self._crowd.malformed += 1
        super().send_400_response(msg)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

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
