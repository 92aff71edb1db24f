"""What the flights job makes of a flight, whoever runs it."""

from __future__ import annotations

from typing import Any

import orjson

# Tail number, delay in seconds, carrier.
Mapped = tuple[str, int, str]


def mapped(flight: dict[str, Any]) -> Mapped:
    return (flight["tailnum"] or "?", (flight["arr_delay"] or 0) * 60, flight["carrier"])


def parse(line: bytes) -> Mapped:
    return mapped(orjson.loads(line))


def told(tail: str, count: int, value: Mapped) -> dict[str, Any]:
    return {"tail": tail, "n": count, "delay_s": value[1], "carrier": value[2]}
