"""Whether the log can hold a value: asked where somebody can still decide what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable
from gc import get_referents, is_tracked
from typing import Any

import msgspec

# One bound for every value, from wherever it comes: far below what any reader's stack allows.
DEPTH_MAX = 100
TOO_DEEP = f"it is nested deeper than {DEPTH_MAX} levels"
# What an encoder raises for a value that MessagePack cannot say: a type, an integer beyond 64 bits, half a character.
UNSTORABLE = (TypeError, OverflowError, ValueError)

# Up to so many containers a level they may be the same ones.
_ALIKE_MAX = 10_000
_CONTAINERS = frozenset((dict, list, tuple, set, frozenset))


def any_too_deep(values: Iterable[Any]) -> bool:
    """Whether one of them may be nested deeper than `DEPTH_MAX`, or is no value at all; `check_depth` says which.

    Costs next to nothing for flat values: Python's collector does not track a dictionary that holds none that it does,
    and knows what the others hold.
    """
    try:
        return _is_any_deep(values)
    except UNSTORABLE:
        return True


def check_depth(value: Any) -> None:
    """Raises `ValueError` for a value that is nested too deep, `TypeError` for what is none."""
    if is_tracked(value) and _is_any_deep((value,)):
        raise ValueError(TOO_DEEP)


def _is_any_deep(values: Iterable[Any]) -> bool:
    level = _tracked(values)
    for _ in range(DEPTH_MAX):
        if not level:
            return False
        if len(level) > _ALIKE_MAX:
            # By identity: what is shared within a value would double from level to level.
            level = [*{id(part): part for part in level}.values()]
        level = _tracked(get_referents(*level))
    return bool(level)


def _tracked(values: Iterable[Any]) -> list[Any]:
    """The containers among them."""
    tracked = list(filter(is_tracked, values))
    if {*map(type, tracked)} <= _CONTAINERS:
        return tracked
    return [made for value in tracked if type(made := _plain(value)) in _CONTAINERS]


def _plain(value: Any) -> Any:
    """What an object of another type is stored as."""
    if type(value) in _CONTAINERS:
        return value
    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
