"""How far the ratios of a watched thread may be wrong, of which nobody keeps when it changed what it does."""

from __future__ import annotations

from collections import deque

from engine.backpressure.window import Counts

# What may be wrong by more is unknown: the levels are drawn at a tenth and at a half.
ERROR_MAX = 0.05


class Doubt:
    """What the last looks at one thread leave open. One caller at a time, at each look.

    Even looks that come in time see too little work: the interpreter is free the moment a wait begins. But who is on a
    core does not wait for anything, and who waits for a core perhaps does not: the system's clocks say for how long
    both was, and between the two lies the truth.
    """

    __slots__ = ("_lost", "_ran")

    def __init__(self, size: int) -> None:
        # Of each look, whether it could be judged by nobody.
        self._lost: deque[bool] = deque(maxlen=size)
        # When it was, and for how long the thread had been on a core by then, and on one or in front of one.
        self._ran: deque[tuple[int, int, int]] = deque(maxlen=size)

    def looked(self, looked_ns: int, ran_ns: tuple[int, int] | None, *, lost: bool) -> None:
        self._lost.append(lost)
        if ran_ns is not None:
            self._ran.append((looked_ns, *ran_ns))

    def kept(self, seen: Counts) -> float:
        """Which part of the waiting that the samples saw is likely to be true."""
        least, most = self._bounds(seen)
        return (least + most) / 2

    def most(self, seen: Counts) -> float:
        """Which part of it can be true at all; what is likely where looks are no later while the thread computes."""
        return self._bounds(seen)[1]

    def reason(self, seen: Counts) -> str | None:
        """Why the ratios are unknown, one sentence; None while they are good enough."""
        lost = sum(self._lost)
        if lost > ERROR_MAX * len(self._lost):
            return (
                f"{lost} of the last {len(self._lost)} samples came too late to tell what was done when they were due, "
                "because the program computed; `penstock watch PID` sees it from outside"
            )
        least, most = self._bounds(seen)
        if seen.samples and (most - least) / 2 * (seen.blocked + seen.idle) / seen.samples > ERROR_MAX:
            return (
                "the thread waited too long for a core to tell that from other waiting: the machine has too much to do"
            )
        return None

    def _bounds(self, seen: Counts) -> tuple[float, float]:
        if len(self._ran) < 2 or seen.busy == seen.samples:
            return 1.0, 1.0
        (began_ns, ran_before, wanted_before), (ended_ns, ran_after, wanted_after) = self._ran[0], self._ran[-1]
        elapsed_ns = max(1, ended_ns - began_ns)
        waited = 1 - seen.busy / seen.samples
        ran, wanted = (ran_after - ran_before) / elapsed_ns, (wanted_after - wanted_before) / elapsed_ns
        return tuple(min(1.0, max(0.0, 1 - share) / waited) for share in (wanted, ran))  # type: ignore[return-value]
