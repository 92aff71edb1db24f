"""Values that a task could not use, kept with their place, so that nothing is lost in silence."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Lock

import msgspec

from engine.core.clock import Clock

_VALUE_BYTES_MAX = 64 * 1024


class RejectFile:
    """Appends to `DATA/rejects/<task>.ndjson`; made on the first rejection. Any thread of the task may call it.

    After a restart the same values may be rejected, and written, again.
    """

    def __init__(self, folder: Path, task: str, clock: Clock) -> None:
        self.path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', task)}.ndjson"
        self._task = task
        self._clock = clock
        self._lock = Lock()

    def write(self, *, source: str, offset: int, reason: str, value: object) -> None:
        line = msgspec.json.encode(
            {
                "task": self._task,
                "source": source,
                "offset": offset,
                "reason": reason,
                "value": _as_text(value),
                "wallTimeNs": self._clock.wall_ns(),
            }
        )
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(line + b"\n")


def _as_text(value: object) -> str:
    """The value as a person would want to read it; cut where it is very long."""
    # What a source could not read carries the beginning of it.
    value = getattr(value, "excerpt", value)
    if isinstance(value, bytes | bytearray):
        text = bytes(value[:_VALUE_BYTES_MAX]).decode("utf-8", errors="backslashreplace")
    elif isinstance(value, str):
        text = value
    else:
        text = repr(value)
    return text[:_VALUE_BYTES_MAX]
