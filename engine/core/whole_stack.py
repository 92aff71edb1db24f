"""A stack of its own for what is nested so deep that the stack of the thread in hand is too short for it.

How deep a value may be nested to be encoded or decoded depends on how deep the calls around it are, so that a value
written by one thread might be too deep for another one. It depends on the age of the process too: CPython counts a call
into C that it has specialised one less than one it has not. So who writes leaves some of the stack to who reads.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

# More than specialised calls save; what is stored shall be read by any process, be it as fresh as can be.
_LEFT_TO_READERS = 3


def read_with_whole_stack(function: Callable[[Given], Made], given: Given) -> Made:
    """`function(given)` on a thread that has nothing else on its stack; raises what it raises.

    Call it after a `RecursionError`.
    """
    made: list[Made] = []
    failed: list[BaseException] = []
    over = _thread.allocate_lock()

    def call() -> None:
        try:
            made.append(function(given))
        except BaseException as error:
            failed.append(error)
        finally:
            over.release()

    over.acquire()
    # Not by `threading`, whose own calls would lie below on the stack.
    _thread.start_new_thread(call, ())
    over.acquire()
    if failed:
        raise failed[0]
    return made[0]


def write_with_whole_stack(function: Callable[[Given], Made], given: Given) -> Made:
    """As `read_with_whole_stack`, with less: what this has made the other can take apart in any process."""

    def below(given: Given, frames: int = _LEFT_TO_READERS) -> Made:
        return function(given) if frames == 1 else below(given, frames - 1)

    return read_with_whole_stack(below, given)
