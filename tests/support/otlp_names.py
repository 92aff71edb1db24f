"""How Prometheus spells an OTLP metric: the rules of its translator (otlptranslator, with suffixes)."""

from __future__ import annotations

import re

_MAIN_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "1": "", "m": "meters", "%": "percent"}
_PER_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


def prometheus_name(name: str, unit: str, *, monotonic_sum: bool, gauge: bool) -> str:
    """Tokens of the name, then what the unit says that the name does not, then `total` or `ratio`."""
    tokens = [token for token in re.split(r"[^A-Za-z0-9:]", name) if token]
    main, _, per = unit.partition("/")
    if main and "{" not in main:
        word = _MAIN_UNITS.get(main, main)
        if word and word not in tokens:
            tokens.append(word)
    if per and "{" not in per:
        word = _PER_UNITS.get(per, per)
        if word not in tokens:
            tokens += ["per", word]
    if monotonic_sum:
        tokens = [token for token in tokens if token != "total"] + ["total"]
    if unit == "1" and gauge:
        tokens = [token for token in tokens if token != "ratio"] + ["ratio"]
    return "_".join(tokens)
