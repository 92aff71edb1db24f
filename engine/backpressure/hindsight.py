"""What a thread did when a look at it was due, although the look came late.

The sampler needs the interpreter. From a thread that computes it gets it late, and at once when that thread begins to
wait: taken as they are, late looks see far too much waiting. What tells the truth are the clocks of the system: how
long the sampler waited for the interpreter, and how much the thread computed since the look before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from engine.backpressure.window import Verdict
from engine.core.clock import NS_PER_MS

# Within so long nobody held the interpreter for long.
_ON_TIME_NS = NS_PER_MS
# A thread that computed less than this since the look before has been doing the same all the time.
_STOOD_STILL_NS = NS_PER_MS // 10


class OwnWaits:
    """How long the calling thread waited for the interpreter, and not for a core; for one thread, the sampler's.

    Where the system does not say how long it waited for a core (Linux does), all of a delay counts.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._is_open = False
        self._delayed_ns = 0

    def waited_ns(self, late_ns: int) -> int:
        """Of a look that came so late."""
        before = self._delayed_ns
        self._delayed_ns = self._read()
        return max(0, late_ns - (self._delayed_ns - before))

    def _read(self) -> int:
        if not self._is_open:
            # By the thread that waits: the path names whoever opens it.
            self._is_open = True
            with suppress(OSError):
                self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        if self._file is None:
            return 0
        try:
            return int(os.pread(self._file, 100, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return 0

    def __del__(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)


class Hindsight:
    """Judges looks at one thread. One caller at a time, at each look.

    Of an asyncio task, which has no clock of its own, `mark` is what it waits for: the same thing at two looks says
    that it has not run between them. Without either a late look says nothing.
    """

    def __init__(
        self,
        thread_id: int | None,
        *,
        process_ns: Callable[[], int] = time.process_time_ns,
        thread_ns: Callable[[], int] | None = None,
        mark: Callable[[], object | None] | None = None,
    ) -> None:
        self._process_ns = process_ns
        self._thread_ns = _clock_of(thread_id) if thread_ns is None else thread_ns
        self._before_ns: tuple[int, int] | None = None
        self._mark = mark
        # Kept, so that nothing else can take its place.
        self._marked: object | None = None

    def verdict(self, seen: Verdict, waited_ns: int) -> Verdict | None:
        """What it did when the look was due, of which the stack says `seen` now; None where that cannot be told."""
        try:
            ours_ns, theirs_ns = (0, 0) if self._thread_ns is None else (self._thread_ns(), self._process_ns())
        except OSError:
            # It has ended.
            return None
        before, self._before_ns = self._before_ns, (ours_ns, theirs_ns)
        marked, self._marked = self._marked, None if self._mark is None else self._mark()
        if waited_ns < _ON_TIME_NS or (marked is not None and marked is self._marked):
            return seen
        if self._thread_ns is None or before is None:
            return None
        computed_ns = ours_ns - before[0]
        others_ns = theirs_ns - before[1] - computed_ns
        if computed_ns < _STOOD_STILL_NS:
            return seen
        # Who held the interpreter meanwhile? It alone, if the others had no time to.
        return Verdict.BUSY if others_ns < waited_ns // 2 else None


def _clock_of(thread_id: int | None) -> Callable[[], int] | None:
    if thread_id is None or not hasattr(time, "pthread_getcpuclockid"):
        return None
    clock = time.pthread_getcpuclockid(thread_id)
    return lambda: time.clock_gettime_ns(clock)
