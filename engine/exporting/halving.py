"""Which records are to blame when a target does not like all of a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from engine.core.errors import TargetError
from engine.exporting.delivered import Delivered

Item = TypeVar("Item")

# After so many records that were refused alone, and none taken, another one is asked for at random.
_ALONE_MAX = 4


class DislikedError(Exception):
    """The target does not like what it was sent; sent in parts, some of it may be taken. Its text is the reason."""


class Halving:
    """Sends items, halved where the target does not like them, until those to blame are alone.

    A target that likes none of them is not asked for each: it is at fault, which is a `TargetError`.
    """

    def __init__(self, delivered: Delivered, random: Random | None = None) -> None:
        self._delivered = delivered
        self._random = random or Random()

    def send(
        self, items: Sequence[Item], send: Callable[[Sequence[Item]], None], position: Callable[[Item], int]
    ) -> None:
        """`send` hands over items and notes what was taken, or raises `DislikedError`."""
        open_parts = [items] if items else []
        disliked: dict[int, str] = {}
        while open_parts:
            part = open_parts.pop()
            try:
                send(part)
            except DislikedError as error:
                if len(part) > 1:
                    half = len(part) // 2
                    open_parts += [part[half:], part[:half]]
                    continue
                disliked[position(part[0])] = str(error)
                if not self._delivered.has_taken and len(disliked) % _ALONE_MAX == 0 and open_parts:
                    self._ask_for_another(open_parts, send)
        for at, reason in disliked.items():
            self._delivered.refused(at, reason)

    def _ask_for_another(self, open_parts: list[Sequence[Item]], send: Callable[[Sequence[Item]], None]) -> None:
        """One item from anywhere, so that many bad ones in front do not pass for a target that takes nothing."""
        (index,) = self._random.choices(range(len(open_parts)), weights=[len(part) for part in open_parts])
        part = open_parts[index]
        chosen = self._random.randrange(len(part))
        try:
            send(part[chosen : chosen + 1])
        except DislikedError as error:
            raise TargetError(f"nothing gets through: {error}") from None
        open_parts[index : index + 1] = [rest for rest in (part[:chosen], part[chosen + 1 :]) if rest]
