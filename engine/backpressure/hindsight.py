"""What a thread did when a look at it was due, although the look came late.

The sampler needs the interpreter. From a thread that computes it gets it late, and at once when that thread begins to
wait: taken as they are, late looks see far too much waiting. What tells the truth are the clocks of the system: how
long the sampler waited for the interpreter, and how much the thread computed since the look before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from engine.backpressure.window import Verdict
from engine.core.clock import NS_PER_MS

# Within so long nobody held the interpreter for long.
_ON_TIME_NS = NS_PER_MS
# A thread that computed less than this since the look before has been doing the same all the time.
_STOOD_STILL_NS = NS_PER_MS // 10


class Schedule:
    """How long a thread has run and how long it could have, but waited for a core; where the system says so (Linux)."""

    def __init__(self, path: str) -> None:
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> tuple[int, int] | None:
        """Nanoseconds on a core and in front of one, since the thread began; None where nobody says it."""
        if self._file is None:
            return None
        try:
            ran, waited, *_ = os.pread(self._file, 100, 0).split()
            return int(ran), int(waited)
        except (OSError, ValueError):
            return None

    def __del__(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)


class OwnWaits:
    """How long the calling thread waited for the interpreter, and not for a core; for one thread, the sampler's.

    Where the system does not say how long it waited for a core, all of a delay counts.
    """

    def __init__(self) -> None:
        self._schedule: Schedule | None = None
        self._delayed_ns = 0

    def waited_ns(self, late_ns: int) -> int:
        """Of a look that came so late."""
        if self._schedule is None:
            # By the thread that waits: the path names whoever opens it.
            self._schedule = Schedule("/proc/thread-self/schedstat")
        found = self._schedule.read()
        before, self._delayed_ns = self._delayed_ns, 0 if found is None else found[1]
        return max(0, late_ns - (self._delayed_ns - before))


class Hindsight:
    """Judges looks at one thread. One caller at a time, at each look.

    `times` tells for how long it has run, and for how long it wanted to. Of an asyncio task, which has no clock of its
    own, `mark` is what it waits for: the same thing at two looks says that it has not run between them. Without either
    a late look says nothing.
    """

    def __init__(
        self,
        times: Callable[[], tuple[int, int] | None] | None = None,
        *,
        process_ns: Callable[[], int] = time.process_time_ns,
        mark: Callable[[], object | None] | None = None,
    ) -> None:
        self._process_ns = process_ns
        self._times = times
        # On a core, wanting to be there, and all threads on a core; None before the first look.
        self._before_ns: tuple[int, int, int] | None = None
        self._mark = mark
        # Kept, so that nothing else can take its place.
        self._marked: object | None = None

    @property
    def ran_ns(self) -> tuple[int, int] | None:
        """How long the thread has been on a core, and wanted to be, by the last look; None where nobody knows."""
        return None if self._before_ns is None else self._before_ns[:2]

    def verdict(self, seen: Verdict, waited_ns: int) -> Verdict | None:
        """What it did when the look was due, of which the stack says `seen` now; None where that cannot be told."""
        found = None if self._times is None else self._times()
        now = None if found is None else (found[0], found[0] + found[1], self._process_ns())
        before, self._before_ns = self._before_ns, now
        marked, self._marked = self._marked, None if self._mark is None else self._mark()
        if waited_ns < _ON_TIME_NS or (marked is not None and marked is self._marked):
            return seen
        if now is None or before is None:
            return None
        ran_ns, wanted_ns, all_ns = (after - earlier for earlier, after in zip(before, now, strict=True))
        if wanted_ns < _STOOD_STILL_NS:
            return seen
        # Who held the interpreter meanwhile? It alone, if the others had no time to.
        return Verdict.BUSY if all_ns - ran_ns < waited_ns // 2 else None


def times_of(thread: threading.Thread) -> Callable[[], tuple[int, int] | None]:
    """Of a thread of this process, which runs."""
    schedule = Schedule(f"/proc/self/task/{thread.native_id}/schedstat")
    if schedule.read() is not None:
        return schedule.read
    if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return lambda: None
    clock = time.pthread_getcpuclockid(thread.ident)

    def read() -> tuple[int, int] | None:
        try:
            return time.clock_gettime_ns(clock), 0
        except OSError:
            # It has ended.
            return None

    return read
