"""Values that are nested deep, and stacks that are short for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.waiting import WAIT_SECONDS

FAR_TOO_DEEP = 100_000


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        (value,), depth = value, depth + 1
    return depth


def deepest(works: Callable[[int], object]) -> int:
    """The deepest nesting with which it works."""
    low, high = 1, FAR_TOO_DEEP
    while low < high:
        middle = (low + high + 1) // 2
        try:
            works(middle)
            low = middle
        except RecursionError:
            high = middle - 1
    return low


def on_a_thread(function: Callable[[], Any]) -> Any:
    """As it is on the engine's threads, whose stacks are short; in a test the stack is deep already."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(WAIT_SECONDS)
    return found[0]


def with_less_stack(function: Callable[[], Any], frames: int) -> Any:
    return function() if not frames else with_less_stack(function, frames - 1)
