"""The stacks of all threads of this process at one moment."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType

# Source: https://github.com/python/cpython/issues/106883.
_COLLECTS_UNDER_ITS_LOCK = sys.version_info < (3, 11, 9)


def _frames_uncollected() -> dict[int, FrameType]:
    """`sys._current_frames()` without garbage collection meanwhile.

    Until Python 3.11.9 it makes objects while it holds the interpreter's lock on the list of threads. A collection
    that begins then, and ends a `threading.local` or a thread, waits for that lock for ever, and all threads with it.
    Another thread that switches the collector in these microseconds may find its switch turned back.
    """
    if not gc.isenabled():
        return sys._current_frames()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        gc.enable()


# Stacks by thread id; any thread may call it.
current_frames: Callable[[], dict[int, FrameType]] = (
    _frames_uncollected if _COLLECTS_UNDER_ITS_LOCK else sys._current_frames
)
