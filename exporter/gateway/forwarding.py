"""The way to other instances' gateways: records that belong there are handed on once, and their answer is ours."""

from __future__ import annotations

import http.client
import re
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, NoReturn, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from exporter.door import (
    NS_PER_MS,
    NS_PER_SECOND,
    Caller,
    Clock,
    Outcome,
    Place,
    Refusal,
    WriteFailedError,
    Written,
    WrongRecordError,
    named_address,
)

RECORDS = "/v1/records"
RESERVATIONS = "/v1/reservations"
# Whoever handed them on says so: they are not handed on again.
FORWARDED = "penstock-forwarded"
_CONNECT_SECONDS = 2.0
# A commit may take as long as the log's cluster takes to answer.
_ANSWER_SECONDS = 40.0
# The other end closes what rests for longer.
_REST_NS = 20 * NS_PER_SECOND
_IDLE_MAX = 64
_AGAIN_SECONDS = 1
_PLACED = re.compile(r"^(line \d+: )?record \d+ ")

_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _SaidRefusal(Refusal):
    """In the owner's own words."""

    said: str

    @property
    def text(self) -> str:
        return self.said


class _Positions(msgspec.Struct):
    positions: list[Place]


class _Reserved(msgspec.Struct):
    reservation: str


class _Refused(msgspec.Struct, rename="camel"):
    reason: Outcome
    partition: int
    limit: float
    retry_after_ms: int
    detail: str


class _WrittenRecord(msgspec.Struct):
    # From 1.
    record: int
    partition: int
    position: int


class _Problem(msgspec.Struct):
    detail: str
    line: int | None = None
    written: list[_WrittenRecord] = []


Said = TypeVar("Said", bound=msgspec.Struct)


class HttpForward:
    """Implements `Forward` over connections that are kept for the next request. Any number of threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        # Those at rest, with the time since when, by gateway; the newest last. None once it is closed.
        self._idle: dict[str, deque[tuple[http.client.HTTPConnection, int]]] | None = {}
        self._tls = ssl.create_default_context()

    def write(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        query = "" if partition is None else f"?partition={partition}"
        status, said = self._ask("POST", url, f"{RECORDS}{query}", caller, _lines(values))
        return _refusal(url, said) if status == 429 else _written(url, status, said)

    def reserve(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> str | Refusal:
        status, said = self._ask("POST", url, RESERVATIONS, caller, _lines(values))
        if status == 429:
            return _refusal(url, said)
        if status != 200:
            _fail(url, status, said)
        return _understood(url, status, said, _Reserved).reservation

    def write_reserved(self, url: str, token: str, caller: Caller) -> Written:
        return _written(url, *self._ask("POST", url, f"{RESERVATIONS}/{token}", caller, b""))

    def give_back(self, url: str, token: str, caller: Caller) -> None:
        with suppress(WriteFailedError):
            self._ask("DELETE", url, f"{RESERVATIONS}/{token}", caller, b"")

    # -- HTTP ---

    def _ask(self, method: str, url: str, path: str, caller: Caller, body: bytes) -> tuple[int, bytes]:
        """Status and body. Raises `WriteFailedError` where there is no answer."""
        where = _place_of(url)
        headers = {"content-type": "application/x-ndjson", FORWARDED: "1"}
        if caller.authorization is not None:
            headers["authorization"] = caller.authorization
        connection = self._rested(url)
        is_asked = False
        try:
            if connection is None:
                connection = self._connected(where)
            is_asked = True
            connection.request(method, where.path.rstrip("/") + path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            may = "; what was on its way may have been written or not" if is_asked and body else ""
            raise WriteFailedError(
                f"the instance at {where.netloc} does not answer: {error or type(error).__name__}{may}",
                passing=True,
                after_seconds=_AGAIN_SECONDS,
            ) from error
        if answer.will_close:
            connection.close()
        else:
            self._rest(url, connection)
        return answer.status, said

    def _connected(self, where: SplitResult) -> http.client.HTTPConnection:
        host = where.hostname or ""
        connection = (
            http.client.HTTPSConnection(host, where.port, timeout=_CONNECT_SECONDS, context=self._tls)
            if where.scheme == "https"
            else http.client.HTTPConnection(host, where.port, timeout=_CONNECT_SECONDS)
        )
        connection.connect()
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection

    def _rested(self, url: str) -> http.client.HTTPConnection | None:
        with self._lock:
            self._forget_old()
            idle = (self._idle or {}).get(url)
            return idle.pop()[0] if idle else None

    def _rest(self, url: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._forget_old()
            if self._idle is not None:
                idle = self._idle.setdefault(url, deque())
                if len(idle) < _IDLE_MAX:
                    idle.append((connection, self._clock.monotonic_ns()))
                    return
        connection.close()

    def _forget_old(self) -> None:
        """Those to any instance: one that is gone is never asked for again. With the lock in hand."""
        since_ns = self._clock.monotonic_ns() - _REST_NS
        for url, idle in [*(self._idle or {}).items()]:
            while idle and idle[0][1] < since_ns:
                idle.popleft()[0].close()
            if not idle and self._idle is not None:
                del self._idle[url]

    def close(self) -> None:
        """Those at rest are closed, and whatever still comes back."""
        with self._lock:
            idle, self._idle = self._idle, None
        for connections in (idle or {}).values():
            for connection, _ in connections:
                connection.close()


def _place_of(url: str) -> SplitResult:
    """Raises `WriteFailedError` for what is no address: another instance says it."""
    try:
        where = urlsplit(url)
        # A port that is none shows when it is asked for.
        assert where.port is None or where.port >= 0
    except ValueError as error:
        raise WriteFailedError(
            f"the instance that has the partition says a gateway's address that is none ({named_address(url)}): mend "
            "its data.kafka.advertisedUrl",
            passing=True,
            after_seconds=_AGAIN_SECONDS,
        ) from error
    return where


def _written(url: str, status: int, said: bytes) -> Written:
    if status != 200:
        _fail(url, status, said)
    return Written(tuple(_understood(url, status, said, _Positions).positions))


def _refusal(url: str, said: bytes) -> Refusal:
    refused = _understood(url, 429, said, _Refused)
    return _SaidRefusal(
        outcome=refused.reason,
        partition=refused.partition,
        records=0,
        limit=refused.limit,
        retry_after_ns=refused.retry_after_ms * NS_PER_MS,
        said=refused.detail,
    )


def _fail(url: str, status: int, said: bytes) -> NoReturn:
    problem = _understood(url, status, said, _Problem)
    if status == 400:
        line = problem.line
        raise WrongRecordError(None if line is None else line - 1, _PLACED.sub("", problem.detail))
    detail = problem.detail
    if status in (401, 403, 404):
        detail = f"the instance at {urlsplit(url).netloc} takes no records of ours: {detail}"
    raise WriteFailedError(
        detail,
        # Only one that says so has no room; all else may be well in a moment.
        passing=status not in (413, 507),
        too_large=status == 413,
        written={one.record - 1: Place(one.partition, one.position) for one in problem.written},
        after_seconds=_AGAIN_SECONDS,
    )


def _understood(url: str, status: int, said: bytes, kind: type[Said]) -> Said:
    """Raises `WriteFailedError` for what no gateway says."""
    try:
        return msgspec.json.decode(said, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WriteFailedError(
            f"the instance at {urlsplit(url).netloc} answers {status}, and not as a gateway does: look at what stands "
            "in between (data.kafka.advertisedUrl); what was on its way may have been written or not",
            passing=True,
            after_seconds=_AGAIN_SECONDS,
        ) from None
