"""The way to other instances' gateways: records that belong there are handed on once, and their answer is ours."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from exporter.door import NS_PER_MS, Caller, Outcome, Place, Refusal, WriteFailedError, Written, WrongRecordError

RECORDS = "/v1/records"
RESERVATIONS = "/v1/reservations"
# Whoever handed them on says so: they are not handed on again.
FORWARDED = "penstock-forwarded"
_CONNECT_SECONDS = 2.0
# A commit may take as long as the log's cluster takes to answer.
_ANSWER_SECONDS = 40.0
# The other end closes what rests for longer.
_REST_SECONDS = 20.0
_IDLE_MAX = 64
_AGAIN_SECONDS = 1
_PLACED = re.compile(r"^(line \d+: )?record \d+ ")

_lines = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True, kw_only=True)
class _SaidRefusal(Refusal):
    """In the owner's own words."""

    said: str

    @property
    def text(self) -> str:
        return self.said


class _Answer(msgspec.Struct):
    positions: list[Place]


class HttpForward:
    """Implements `Forward` over connections that are kept for the next request. Any number of threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Those at rest, with the time since when, by gateway; the newest last.
        self._idle: dict[str, deque[tuple[http.client.HTTPConnection, float]]] = {}
        self._tls = ssl.create_default_context()

    def write(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        query = "" if partition is None else f"?partition={partition}"
        status, said = self._ask("POST", url, f"{RECORDS}{query}", caller, _lines(values))
        return _refusal(said) if status == 429 else _written(url, status, said)

    def reserve(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> str | Refusal:
        status, said = self._ask("POST", url, RESERVATIONS, caller, _lines(values))
        if status == 429:
            return _refusal(said)
        if status != 200:
            _fail(url, status, said)
        return str(_decode(said)["reservation"])

    def write_reserved(self, url: str, token: str, caller: Caller) -> Written:
        return _written(url, *self._ask("POST", url, f"{RESERVATIONS}/{token}", caller, b""))

    def give_back(self, url: str, token: str, caller: Caller) -> None:
        with suppress(WriteFailedError):
            self._ask("DELETE", url, f"{RESERVATIONS}/{token}", caller, b"")

    # -- HTTP ---

    def _ask(self, method: str, url: str, path: str, caller: Caller, body: bytes) -> tuple[int, bytes]:
        """Status and body. Raises `WriteFailedError` where there is no answer."""
        parts = urlsplit(url)
        headers = {"content-type": "application/x-ndjson", FORWARDED: "1"}
        if caller.authorization is not None:
            headers["authorization"] = caller.authorization
        connection = self._rested(url)
        is_asked = False
        try:
            if connection is None:
                connection = self._connected(parts.scheme, parts.hostname or "", parts.port)
            is_asked = True
            connection.request(method, parts.path.rstrip("/") + path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            may = "; what was on its way may have been written or not" if is_asked and body else ""
            raise WriteFailedError(
                f"the instance at {parts.netloc} does not answer: {error or type(error).__name__}{may}",
                passing=True,
                after_seconds=_AGAIN_SECONDS,
            ) from error
        if answer.will_close:
            connection.close()
        else:
            self._rest(url, connection)
        return answer.status, said

    def _connected(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=self._tls)
            if scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        )
        connection.connect()
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection

    def _rested(self, url: str) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(url)
            while idle:
                connection, since = idle.pop()
                if time.monotonic() - since < _REST_SECONDS:
                    return connection
                connection.close()
        return None

    def _rest(self, url: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(url, deque())
            if len(idle) < _IDLE_MAX:
                idle.append((connection, time.monotonic()))
                return
        connection.close()


def _written(url: str, status: int, said: bytes) -> Written:
    if status != 200:
        _fail(url, status, said)
    return Written(tuple(msgspec.json.decode(said, type=_Answer).positions))


def _problem(said: bytes) -> Mapping[str, Any]:
    with suppress(msgspec.DecodeError):
        found = _decode(said)
        if isinstance(found, dict):
            return found
    return {}


def _refusal(said: bytes) -> Refusal:
    problem = _problem(said)
    return _SaidRefusal(
        outcome=Outcome(problem["reason"]),
        partition=int(problem["partition"]),
        records=0,
        limit=float(problem["limit"]),
        retry_after_ns=int(problem["retryAfterMs"]) * NS_PER_MS,
        said=str(problem["detail"]),
    )


def _fail(url: str, status: int, said: bytes) -> NoReturn:
    problem = _problem(said)
    detail = str(problem.get("detail", f"the instance at {urlsplit(url).netloc} answers {status}"))
    if status == 400:
        line = problem.get("line")
        raise WrongRecordError(None if line is None else int(line) - 1, _PLACED.sub("", detail))
    written = {
        int(one["record"]) - 1: Place(int(one["partition"]), int(one["position"]))
        for one in problem.get("written") or ()
    }
    if status in (401, 403, 404):
        detail = f"the instance at {urlsplit(url).netloc} takes no records of ours: {detail}"
    raise WriteFailedError(
        detail, passing=status == 503, too_large=status == 413, written=written, after_seconds=_AGAIN_SECONDS
    )
