"""What the Python that runs the engine is like, as far as the engine has to know."""

from __future__ import annotations

import sys


def has_gil() -> bool:
    """Whether one thread runs at a time. Asked anew each time: a build without the lock takes it back for a library."""
    return getattr(sys, "_is_gil_enabled", lambda: True)() is True
