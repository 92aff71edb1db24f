"""A stack of its own for what is nested so deep that the stack of the thread in hand is too short for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def with_whole_stack(function: Callable[[Given], Made], given: Given) -> Made:
    """`function(given)` on a thread that has nothing else on its stack; raises what it raises.

    Call it after a `RecursionError`. How deep a value may be nested to be encoded or decoded depends on how deep the
    caller's own calls are, so that a value written by one thread might be too deep for another one: here both have the
    same room.
    """
    made: list[Made] = []
    failed: list[BaseException] = []

    def call() -> None:
        try:
            made.append(function(given))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=call, name="penstock-whole-stack", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
