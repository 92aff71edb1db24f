"""How long the threads of another process have been on a core, and wanted to be, by the clocks of the system."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engine.backpressure.hindsight import Schedule

# Of each thread, by its number: nanoseconds on a core, and on one or in front of one.
Clocks = Mapping[str, tuple[int, int]]


def read_clocks(pid: int) -> Clocks:
    """Of all threads that are there; of none where the system does not say it (it is Linux that does)."""
    found: dict[str, tuple[int, int]] = {}
    with suppress(OSError):
        for folder in Path(f"/proc/{pid}/task").iterdir():
            read = Schedule(str(folder / "schedstat")).read()
            if read is not None:
                ran_ns, waited_ns = read
                found[folder.name] = (ran_ns, ran_ns + waited_ns)
    return found
