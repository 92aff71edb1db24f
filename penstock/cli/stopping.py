"""What signals do to a run: the first lets it finish what is under way, the second ends it at once."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.runtime.door import Door

log = logging.getLogger("penstock.run")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals(engine: Door) -> Iterator[None]:
    """Takes over Ctrl-C and SIGTERM for as long as the run lasts. For the main thread."""
    seen = 0

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            # Whatever is acknowledged is durable; there is nothing left to save.
            os._exit(128 + number)
        log.info("%s: finishing what is under way; once more ends at once", signal.Signals(number).name)
        # A handler must not wait, and `stop` does.
        threading.Thread(target=engine.stop, name="penstock-stop", daemon=True).start()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
