"""Durations as people write them: `15s`, `500ms`, `2m`, `1h30m`, `PT15S`, or a number of seconds."""

from __future__ import annotations

import math
import re

from engine.core.clock import NS_PER_SECOND

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3600 * NS_PER_SECOND,
    "d": 86400 * NS_PER_SECOND,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)")
_SIMPLE = re.compile(rf"(?:{_PART.pattern})+")
_ISO = re.compile(
    r"P(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)
# Centuries: longer than any limit, and still far inside what 64 bits of nanoseconds hold.
_LONGEST_NS = 100 * 365 * 86400 * NS_PER_SECOND
_FORMS = "write it as 15s, 500ms, 2m, PT15S or a number of seconds"


def parse_duration_ns(value: object) -> int:
    """Nanoseconds of a written duration. Raises `ValueError` with the accepted forms."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no duration; {_FORMS}")
    if isinstance(value, int | float):
        return _checked(float(value) * NS_PER_SECOND, value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration; {_FORMS}")
    text = value.strip()
    sign = -1 if text.startswith("-") else 1
    body = text[1:] if sign < 0 else text
    iso = _ISO.fullmatch(body.upper())
    if iso and any(iso.groupdict().values()) and not body.upper().endswith("T"):
        return sign * _checked(sum(float(n) * _UNITS_NS[unit] for unit, n in iso.groupdict().items() if n), value)
    if _SIMPLE.fullmatch(body.lower()):
        return sign * _checked(sum(float(n) * _UNITS_NS[u] for n, u in _PART.findall(body.lower())), value)
    try:
        return sign * _checked(float(body) * NS_PER_SECOND, value)
    except ValueError:
        raise ValueError(f"{value!r} is no duration; {_FORMS}") from None


def _checked(ns: float, written: object) -> int:
    if not math.isfinite(ns) or abs(ns) > _LONGEST_NS:
        raise ValueError(f"{written!r} is no duration between 0 and 100 years; {_FORMS}")
    return round(ns)


def format_duration(ns: int) -> str:
    """The shortest written form that reads back to the same value: `1h30m`, `15s`, `250ms`."""
    if ns == 0:
        return "0s"
    sign, rest, parts = ("-", -ns, "") if ns < 0 else ("", ns, "")
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, _UNITS_NS[unit])
        if count:
            parts += f"{count}{unit}"
    return sign + parts


def shown_duration(ns: int) -> str:
    """For people, in as many digits as they read: `850ms`, `49.4s`, `2m13s`, `1d4h`. Does not read back to the same."""
    if abs(ns) < NS_PER_SECOND:
        return format_duration(round(ns, -6))
    if abs(ns) < 60 * NS_PER_SECOND:
        return f"{round(ns / NS_PER_SECOND, 1):g}s"
    step_ns = NS_PER_SECOND if abs(ns) < 3600 * NS_PER_SECOND else _UNITS_NS["m"]
    return format_duration(round(ns / step_ns) * step_ns)
