"""What the instances of a pipeline tell each other: rows by key, the last word of each counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.core.errors import PenstockError

# A key, its value (None: it is gone), and where that stands: later words stand further on.
Told = Callable[[str, bytes | None, int], None]


def _nobody(_key: str, _value: bytes | None, _place: int) -> None:
    return


class ControlError(PenstockError):
    """What was to be told to the other instances could not be."""


class Control(Protocol):
    """Everybody reads all of it, from the beginning, in one order. Any thread may write."""

    def start(self, told: Told) -> None:
        """Returns when all that is there was told; goes on telling, on a thread of its own. Raises `PenstockError`."""
        ...

    def put(self, key: str, value: bytes | None) -> int:
        """Where it stands, once it will not be lost. Raises `ControlError`."""
        ...

    def close(self) -> None: ...


class Alone:
    """Implements `Control` for an instance that has no others, and forgets everything with it."""

    def __init__(self) -> None:
        self._told: Told = _nobody
        self._count = 0

    def start(self, told: Told) -> None:
        self._told = told

    def put(self, key: str, value: bytes | None) -> int:
        self._count += 1
        self._told(key, value, self._count)
        return self._count

    def close(self) -> None:
        return
