"""What the gateway says: positions, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec

from exporter.door import NS_PER_MS, NS_PER_SECOND, Outcome, Place, Refusal, WriteFailedError, Written

_encode = msgspec.json.Encoder().encode
_POSITIONS_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
# When an engine or its log is likely to be back, and a full disk to have room.
_PASSING_SECONDS = 5
_NO_ROOM_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; names of headers are lower case."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    # How many records of the request are in the log.
    records: int = 0


class _Positions(msgspec.Struct, gc=False):
    positions: tuple[Place, ...]


def positions(written: Written) -> Answer:
    """200: where each record is, in the order in which they came."""
    return Answer(200, _encode(_Positions(written.places)), _POSITIONS_HEADERS, len(written.places))


def reserved(token: str) -> Answer:
    """200: admitted for a few seconds, for another instance."""
    return Answer(200, _encode({"reservation": token}), _POSITIONS_HEADERS)


def given_back() -> Answer:
    """200: nothing of it is held any more."""
    return Answer(200, b"{}", _POSITIONS_HEADERS)


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
) -> Answer:
    """`application/problem+json` (RFC 9457); `more` are members of our own."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    named = {"content-type": "application/problem+json", "cache-control": "no-store", **(headers or {})}
    encoded = tuple((name.encode(), value.encode()) for name, value in named.items())
    return Answer(status, _encode({**content, **(more or {})}), encoded)


def come_back(status: int, detail: str, seconds: int, more: Mapping[str, object] | None = None) -> Answer:
    """A refusal that passes: `Retry-After` says when."""
    return problem(status, detail, headers={"retry-after": str(seconds)}, more=more)


def refused(refusal: Refusal) -> Answer:
    """429: which limit, on which partition, and when to come again; nothing was written."""
    # Whole seconds, rounded up: who comes back then is not too early.
    seconds = -(-refusal.retry_after_ns // NS_PER_SECOND)
    is_rate = refusal.outcome is Outcome.WRITE_RATE_LIMIT_EXHAUSTED
    return come_back(
        429,
        refusal.text,
        seconds,
        {
            "reason": refusal.outcome,
            "partition": refusal.partition,
            "limit": refusal.limit,
            "limitUnit": "records/s" if is_rate else "commands in flight",
            "retryAfterMs": -(-refusal.retry_after_ns // NS_PER_MS),
        },
    )


def failed(error: WriteFailedError) -> Answer:
    """503 for what passes by itself, 413 for what the log will never take at once, 507 when it cannot take more.

    `written` lists what is in it all the same.
    """
    written = [
        {"record": index + 1, "partition": place.partition, "position": place.position}
        for index, place in sorted(error.written.items())
    ]
    if error.too_large:
        return replace(problem(413, str(error), more={"written": written}), records=len(written))
    status, seconds = (503, error.after_seconds or _PASSING_SECONDS) if error.passing else (507, _NO_ROOM_SECONDS)
    return replace(come_back(status, str(error), seconds, {"written": written}), records=len(written))
