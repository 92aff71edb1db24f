"""One client's connection: each request in time, its head in 16 kB, and one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from logging import Logger
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from exporter.crowd import Crowd, Guest
from exporter.gateway.answers import Answer, problem
from exporter.gateway.tally import Tally

# A request's line and headers; and, of a body, what is none of it: trailers, extensions of chunks.
HEAD_BYTES_MAX = 16 * 1024
# What is parsed at once, and how many requests may be in it: each takes more room parsed than it took as it came.
_PORTION_BYTES = 4 * 1024
_AHEAD_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the connections of a server share. The event loop's thread alone uses it."""

    crowd: Crowd
    request_seconds_max: float
    tally: Tally
    logger: Logger


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with an end to its patience, and to what it holds for a client.

    Runs on the server's event loop. A request that is not complete in time is answered with 408, a head that is too
    long with 400. The parser gets a portion at a time, and the next request only once the one before is answered:
    what was sent ahead waits as it came, and nothing more is read meanwhile.
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
        # Set while a request has begun and not ended, or none has come yet.
        self._patience: asyncio.TimerHandle | None = None
        self._is_incomplete = self._is_in_head = False
        # The request that is being answered; uvicorn's own `cycle` is the one that came last.
        self._at_work: RequestResponseCycle | None = None
        self._guest = guest
        self._house = house
        # What was received and not parsed yet.
        self._ahead = b""
        # Since the message began or its last byte of a body came: portions that were all head, and the head itself.
        self._bare_bytes = 0
        self._is_bare = False
        self._head_bytes = 0
        # Of a body whose length was said, what is still to come.
        self._body_bytes_left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._guest.transport = transport
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        self._ahead = self._ahead + data if self._ahead else data
        self._parse_ahead()

    def _parse_ahead(self) -> None:
        """Parses what is there, up to the end of a request that is not answered yet."""
        while self._ahead and not self.transport.is_closing():
            if self._is_behind():
                self.flow.pause_reading()
                break
            # Of a body as long as it was said to be, all that is here: no other request begins in it.
            size = max(_PORTION_BYTES, self._body_bytes_left)
            portion, self._ahead = self._ahead[:size], self._ahead[size:]
            self._is_bare = True
            super().data_received(portion)
            self._bare_bytes = self._bare_bytes + len(portion) if self._is_bare else 0
            if self._is_incomplete and max(self._bare_bytes, self._head_bytes) > HEAD_BYTES_MAX:
                self._refuse(problem(400, f"the head of a request must not exceed {HEAD_BYTES_MAX} bytes"))
        if self.transport.is_closing():
            self._ahead = b""
        elif self._ahead or not self._is_incomplete:
            self._lose_patience_no_more()
            if self._is_answering():
                self._house.crowd.work(self._guest)
        elif self._patience is None:
            self._house.crowd.rest(self._guest)
            self._wait_for_request()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_behind(self) -> bool:
        """Whether what comes next belongs to a request whose turn has not come."""
        return bool(self.pipeline) or (self._is_answering() and (self._is_in_head or not self._is_incomplete))

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _AHEAD_MAX:
            # What a parser's callback raises is to uvicorn as if it were no HTTP.
            raise ValueError("too many requests ahead of their answers")
        self._is_incomplete = self._is_in_head = True
        self._is_bare = False
        self._head_bytes = self._body_bytes_left = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if name.lower() == b"content-length":
            self._body_bytes_left = int(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()
        if not self.pipeline:
            self._at_work = self.cycle

    def on_body(self, body: bytes) -> None:
        self._is_bare = False
        self._body_bytes_left = max(0, self._body_bytes_left - len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_incomplete = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._guest.is_known = True
        self._at_work = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self._is_answering():
            self._house.crowd.rest(self._guest)
        self._parse_ahead()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._house.crowd.rest(self._guest)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering():
            self._house.crowd.work(self._guest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose_patience_no_more()
        self._ahead = b""
        self._house.crowd.leave(self._guest)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(problem(400, msg))

    def _refuse(self, answer: Answer) -> None:
        """Ends the connection of who sends what is no request; says why where nothing else could be meant by it."""
        self._lose_patience_no_more()
        self._house.crowd.malformed += 1
        if self._is_first():
            self._answer(answer)
        if self._at_work is not None:
            # It has nobody to answer any more.
            self._at_work.disconnected = True
            self._at_work.message_event.set()
        self.transport.close()

    def _answer(self, answer: Answer) -> None:
        """Where there is no request that could carry it."""
        self._house.tally.answered(answer)
        self.transport.write(_raw(answer))

    def _is_first(self) -> bool:
        """Behind an answer that has begun, or in front of one that is still to come, another would be misread."""
        cycle = self.cycle
        return not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started)

    def _wait_for_request(self) -> None:
        self._patience = self.loop.call_later(self._house.request_seconds_max, self._on_late)

    def _lose_patience_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _on_late(self) -> None:
        self._patience = None
        if self._is_incomplete and self._is_first():
            self._answer(problem(408, "the request was not complete in time"))
        self.transport.close()


def _raw(answer: Answer) -> bytes:
    """The answer as it goes over the wire, where no request can carry it."""
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}".encode()]
    return b"\r\n".join([*head, *(name + b": " + value for name, value in headers), b"", answer.body])
