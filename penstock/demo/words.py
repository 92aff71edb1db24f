"""Numbers as the demo says them."""

from __future__ import annotations


def whole(number: float) -> str:
    """`12,345`."""
    return f"{number:,.0f}"


def counted(count: int, noun: str) -> str:
    """`1 flight`, `2,000 flights`."""
    return f"{whole(count)} {noun}" if count == 1 else f"{whole(count)} {noun}s"


def duration(seconds: float) -> str:
    """`46 s`, `2 min 44 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def clock_time(seconds: float) -> str:
    """Minutes and seconds: `2:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
