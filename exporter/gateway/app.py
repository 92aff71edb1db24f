"""`POST /v1/records` as an ASGI application: reads, hands over, answers.

Written against ASGI itself: each record that comes alone passes here, and a framework would cost more than the work.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from exporter.door import (
    Caller,
    IntakeDoor,
    Refusal,
    SharedIntakeDoor,
    SystemClock,
    WriteFailedError,
    Written,
    WrongRecordError,
)
from exporter.gateway import answers
from exporter.gateway.answers import Answer
from exporter.gateway.body import BodyMemory, Disconnected, RefusedBody
from exporter.gateway.forwarding import FORWARDED, RECORDS, RESERVATIONS
from exporter.gateway.parsing import (
    CONTAINERS_MAX,
    MalformedError,
    Values,
    has_too_many_containers,
    line_of_record,
    read_json,
    read_lines,
)
from exporter.gateway.reservations import Reservations
from exporter.gateway.settings import GatewaySettings
from exporter.gateway.tally import Tally
from exporter.gateway.turns import Turns
from exporter.management.workers import OverloadedError, Workers
from exporter.web_config import Access

ROUTE = RECORDS
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
# How long a refused client may go on sending before it is cut off; one that is cut off at once may not see why.
_LINGER_SECONDS = 5.0
# Of bodies that are parsed and written at the same time: what they become may be twenty times as large.
_PARSED_BYTES_MAX = 4 * 1024 * 1024
_FORWARDED = FORWARDED.encode()
_CHALLENGE = {"www-authenticate": 'Basic realm="penstock", charset="UTF-8"'}
_log = logging.getLogger("penstock.gateway")


class GatewayApp:
    """The application for one engine. Parsing and writing happen in workers, the event loop only moves bytes."""

    def __init__(
        self,
        engine: IntakeDoor,
        settings: GatewaySettings,
        access: Access,
        workers: Workers,
        for_instances: Workers,
        checks: Workers,
        tally: Tally,
    ) -> None:
        """Passwords are checked in `checks`, few at a time: who guesses waits, and nobody else with him."""
        self._engine = engine
        # None where nobody shares the pipeline.
        self._shared = engine if isinstance(engine, SharedIntakeDoor) else None
        self._settings = settings
        self._access = access
        self._checks = checks
        self._tally = tally
        self._path = settings.context_path + ROUTE
        self._reservations = settings.context_path + RESERVATIONS
        self._reserved = Reservations(settings.bodies_bytes_max, SystemClock())
        # Never less than one body.
        at_once = max(settings.body_bytes_max, min(settings.bodies_bytes_max, _PARSED_BYTES_MAX))
        self._lane = _Lane(workers, Turns(at_once))
        # What was handed on waits for nobody who may himself wait for another instance: two of them would never end.
        self._lane_of_instances = _Lane(for_instances, Turns(at_once))
        self._memory = BodyMemory(body_bytes_max=settings.body_bytes_max, bytes_max=settings.bodies_bytes_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the server is told to bring nothing else"
        began_ns = self._tally.now_ns()
        reader = _Reader(receive)
        with self._memory.holding() as holding:
            try:
                head = self._head(scope)
                if self._access.needs_user:
                    await self._check_user(head.authorization)
                body = await self._memory.read(reader.receive, holding, head.declared_bytes)
                self._tally.received(len(body))
                answer = await self._written(body, head)
            except RefusedBody as refusal:
                answer = refusal.answer
            except OverloadedError:
                answer = answers.come_back(503, "too many requests at once", 1)
            except Disconnected:
                return
            except Exception:
                _log.exception("%s %s failed", scope["method"], scope["path"])
                answer = answers.problem(500, "something went wrong here; the log says what")
        self._tally.answered(answer, began_ns)
        await self._send(answer, reader, send)

    async def _written(self, body: bytes, head: _Head) -> Answer:
        lane = self._lane_of_instances if head.is_forwarded else self._lane
        size = len(body)
        if not lane.turns.try_take(size):
            await lane.turns.wait_take(size)
        try:
            answer = await lane.workers.run(partial(self._write, body, head))
            # What was handed on is counted where it came in.
            return replace(answer, records=0) if head.is_forwarded else answer
        finally:
            lane.turns.give_back(size)

    async def _check_user(self, authorization: str | None) -> None:
        """Raises `RefusedBody` for strangers (401) and for users who may only read (403)."""
        known = self._access.known(authorization)
        user = await self._checks.run(lambda: self._access.check(authorization)) if known is None else known.user
        if user is None:
            raise _refusal(401, "who writes records must say who it is", _CHALLENGE)
        if not self._access.may_change(user):
            raise _refusal(403, f"{user} may read and not write")

    def _head(self, scope: Scope) -> _Head:
        """What the head of the request asks for. Raises `RefusedBody` for what is not here or may not be."""
        path = scope["path"]
        head = _Head()
        if path != self._path:
            self._look_for_reservation(path, head)
        if scope["method"] != "POST" and not (head.token and scope["method"] == "DELETE"):
            raise _refusal(405, f"{scope['method']} is not possible here; possible is POST", {"allow": "POST"})
        head.gives_back = scope["method"] == "DELETE"
        for name, value in scope["headers"]:
            if name == b"content-type":
                head.is_lines = _is_lines(value)
            elif name == b"content-length":
                head.declared_bytes = int(value)
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise _refusal(415, "the body must not be compressed")
            elif name == b"origin":
                # No page is served here, so this one is from elsewhere.
                raise _refusal(403, "web pages may not write records")
            elif name == b"authorization":
                head.authorization = value.decode("latin-1")
            elif name == _FORWARDED and self._shared is not None:
                head.is_forwarded = True
        if head.is_lines is None and not head.token:
            raise _refusal(415, "the body must be application/json or application/x-ndjson, in UTF-8")
        if scope["query_string"]:
            head.partition = _partition(scope["query_string"])
        return head

    def _look_for_reservation(self, path: str, head: _Head) -> None:
        """What instances ask each other for; nobody else is there where there is only one."""
        if self._shared is not None and path == self._reservations:
            head.reserves = True
        elif self._shared is not None and path.startswith(self._reservations + "/"):
            head.token = path.removeprefix(self._reservations + "/")
        if not (head.reserves or head.token):
            raise _refusal(404, f"there is nothing at {path}; records go to {self._path}")

    async def _send(self, answer: Answer, reader: _Reader, send: Send) -> None:
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        for name, value in self._access.config.headers.items():
            headers.append((name.lower().encode(), value.encode()))
        if reader.is_done:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})
            return
        # The client is still sending. It gets its answer now, and a moment to notice it.
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        # Ends with the body, with the time, or with the server.
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not reader.is_done:
                    await reader.receive()
        await send({"type": "http.response.body", "body": b""})

    # -- in a thread of the pool ---

    def _write(self, body: bytes, head: _Head) -> Answer:
        try:
            written = self._outcome(body, head)
        except MalformedError as error:
            return answers.problem(400, str(error), more={"line": error.line})
        except RefusedBody as refusal:
            return refusal.answer
        except WrongRecordError as error:
            if error.index is None:
                return answers.problem(400, str(error))
            line = line_of_record(body, error.index)
            return answers.problem(400, f"line {line}: {error}", more={"line": line})
        except WriteFailedError as error:
            return answers.failed(error)
        return _said(written)

    def _outcome(self, body: bytes, head: _Head) -> Written | Refusal | str | None:
        shared = self._shared
        if shared is None:
            return self._engine.write(self._values(body, head), partition=head.partition)
        if head.token:
            self._reserved.ended(head.token)
            if not head.gives_back:
                return shared.write_reserved(head.token)
            shared.give_back(head.token)
            return None
        caller = Caller(authorization=head.authorization, is_instance=head.is_forwarded)
        if not head.reserves:
            return shared.write_for(self._values(body, head), head.partition, caller)
        if not self._reserved.have_room(len(body)):
            raise WriteFailedError("other instances have too much admitted here and not written yet", passing=True)
        token = shared.reserve_for(self._values(body, head), caller)
        if isinstance(token, str):
            self._reserved.begun(token, len(body))
        return token

    def _values(self, body: bytes, head: _Head) -> Values:
        records_max = self._settings.records_max
        # Lines can be counted before they cost anything.
        if head.is_lines and len(body) > records_max and body.count(b"\n") > 2 * records_max:
            raise _too_many(records_max)
        if has_too_many_containers(body):
            raise _refusal(413, f"the body must not hold more than {CONTAINERS_MAX} objects and arrays")
        values = read_lines(body) if head.is_lines else read_json(body)
        if not values:
            raise MalformedError(1, "the body holds no record")
        if len(values) > records_max:
            raise _too_many(records_max)
        return values


class _Lane(NamedTuple):
    """Who parses and writes bodies, and whose is next."""

    workers: Workers
    turns: Turns


class _Head:
    """What a request says before its body."""

    __slots__ = (
        "authorization",
        "declared_bytes",
        "gives_back",
        "is_forwarded",
        "is_lines",
        "partition",
        "reserves",
        "token",
    )

    def __init__(self) -> None:
        self.authorization: str | None = None
        self.declared_bytes: int | None = None
        # NDJSON or one JSON text; None for anything else.
        self.is_lines: bool | None = None
        self.partition: int | None = None
        # Of what instances ask each other: that it comes from one, that it is to be admitted only, or which of what
        # was admitted is meant, and that it is not wanted after all.
        self.is_forwarded = False
        self.reserves = False
        self.token = ""
        self.gives_back = False


class _Reader:
    """Knows whether the body has been read to its end."""

    __slots__ = ("_receive", "is_done")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_done = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.is_done = not message.get("more_body", False)
        return message


def _said(outcome: Written | Refusal | str | None) -> Answer:
    match outcome:
        case Refusal():
            return answers.refused(outcome)
        case str():
            return answers.reserved(outcome)
        case None:
            return answers.given_back()
        case _:
            return answers.positions(outcome)


def _is_lines(content_type: bytes) -> bool | None:
    if content_type == b"application/json":
        return False
    media_type, _, parameters = content_type.decode("latin-1").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if charset not in ("", "utf-8", "utf8"):
        return None
    media_type = media_type.strip()
    return True if media_type in _LINES else False if media_type == "application/json" else None


def _partition(query: bytes) -> int:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, _ in pairs:
        if name != "partition":
            raise _refusal(400, f"there is no query parameter {name!r}; there is only partition")
    written = pairs[0][1] if len(pairs) == 1 else ""
    if not (written.isascii() and written.isdecimal()) or len(written) > 4:
        raise _refusal(400, "partition must be given once, as a whole number from 1")
    return int(written)


def _refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> RefusedBody:
    return RefusedBody(answers.problem(status, detail, headers=headers))


def _too_many(records_max: int) -> RefusedBody:
    return _refusal(413, f"the body must not hold more than {records_max} records")
