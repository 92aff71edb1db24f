"""The stacks of all threads of this process at one moment."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType

from engine.core import interpreter
from engine.core.errors import ConfigurationError

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


def check_interpreter(version: tuple[int, ...] = sys.version_info[:3], *, has_gil: bool | None = None) -> None:
    """Raises `ConfigurationError` where looking at the stacks of other threads takes the process along.

    Without the global interpreter lock, Python 3.13 hands out frames whose owners may end them meanwhile.
    """
    if not (interpreter.has_gil() if has_gil is None else has_gil) and version < (3, 14):
        raise ConfigurationError(
            f"back pressure cannot be measured on Python {'.'.join(map(str, version))} without the global interpreter "
            "lock, where looking at the stacks of other threads is unsafe; run it with PYTHON_GIL=1, or use Python 3.14"
        )


# Stacks by thread id; any thread may call it.
current_frames: Callable[[], dict[int, FrameType]] = (
    _frames_uncollected if _COLLECTS_UNDER_ITS_LOCK else sys._current_frames
)
