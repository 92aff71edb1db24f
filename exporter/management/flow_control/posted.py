"""What a request brings along: its body, its query, its conditions."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request

from exporter.door import parse_duration_ns

# The longest document that names every key is below 2 kB.
BODY_BYTES_MAX = 64 * 1024
_PARTITION_DIGITS_MAX = 9


class RequestError(Exception):
    """The request cannot be served: one sentence why, the HTTP status that says so, the parameter at fault, if any."""

    def __init__(self, status: int, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.field = field


async def body_of(request: Request, media_types: Collection[str]) -> bytes:
    """The body, if it is of one of these media types. Raises `RequestError`."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() not in media_types or charset not in ("", "utf-8"):
        raise RequestError(415, f"the body must be {next(iter(media_types))} in UTF-8")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise RequestError(413, f"the body must not exceed {BODY_BYTES_MAX} bytes")
    return bytes(body)


def check_query(request: Request, *known: str) -> None:
    """Raises `RequestError` for a parameter that there is not, or that is given twice."""
    for parameter in request.query_params:
        if parameter not in known:
            hint = f"; there is {' and '.join(known)}" if known else ""
            raise RequestError(400, f"there is no query parameter {parameter!r}{hint}", parameter)
        if parameter != "partition" and len(request.query_params.getlist(parameter)) > 1:
            raise RequestError(400, f"{parameter} may be given once", parameter)


def ttl_ns_of(request: Request) -> int | None:
    """`?ttl=15m`: how long a change shall hold. Raises `RequestError`."""
    written = request.query_params.get("ttl")
    if written is None:
        return None
    try:
        ttl_ns = parse_duration_ns(written)
    except ValueError:
        ttl_ns = 0
    if ttl_ns <= 0:
        raise RequestError(400, f"ttl must be a duration longer than 0, such as 15m, not {written!r}", "ttl")
    return ttl_ns


def is_dry_run(request: Request) -> bool:
    """`?dry_run=true`: say what would change. Raises `RequestError`."""
    written = request.query_params.get("dry_run", "false")
    if written not in ("true", "false"):
        raise RequestError(400, f"dry_run must be true or false, not {written!r}", "dry_run")
    return written == "true"


def partitions_of(request: Request) -> frozenset[int] | None:
    """`?partition=1`, as often as wanted; None without it: all of them. Raises `RequestError`."""
    written = request.query_params.getlist("partition")
    for number in written:
        # Digits alone: int() would forgive blanks, signs and underscores.
        if not (number.isascii() and number.isdigit() and len(number) <= _PARTITION_DIGITS_MAX):
            raise RequestError(400, f"partition must be a number such as 1, not {number!r}", "partition")
    return frozenset(map(int, written)) or None


def tags_of(request: Request) -> frozenset[str] | None:
    """The entity tags of `If-Match` (RFC 9110, 13.1.1); None where it is not there, or is `*`.

    Weak tags never match, as that section wants.
    """
    written = ",".join(request.headers.getlist("if-match"))
    if not written or written.strip() == "*":
        return None
    tags = (tag.strip() for tag in written.split(","))
    return frozenset(tag[1:-1] for tag in tags if len(tag) > 1 and tag[0] == tag[-1] == '"')
