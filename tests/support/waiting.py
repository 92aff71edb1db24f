"""Bounded waiting for what another thread will do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT_SECONDS = 20.0


def wait_until(holds: Callable[[], object], seconds: float = WAIT_SECONDS) -> bool:
    """Looks every millisecond until `holds()` is true; False when the time is over."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        pause.wait(0.001)
    return bool(holds())
