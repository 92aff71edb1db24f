"""Riders: small facts that need no commit of their own."""

from __future__ import annotations

from threading import Lock

from engine.core.clock import Clock
from engine.core.records import WriteSource
from engine.core.unit import Acknowledgement, SourceProgress, Unit


class Riders:
    """Gathers what goes in front of the next commit, or in one of its own once it is due.

    The commit itself takes them, in front of its units: who adds a rider and then hands over a unit can rely on that
    order, so no position ever goes back. Any thread may call it; its lock is held while nothing else is called.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        # Guarded by the lock. Invariant: there is a time ⇔ something waits.
        self._waiting = Unit(source=WriteSource.INTERNAL)
        self._since_ns: int | None = None

    # -- adding ---

    def acknowledged(self, acknowledgement: Acknowledgement) -> None:
        """An exporter's word; a later one takes its place."""
        with self._lock:
            self._riding().acknowledged[acknowledgement.exporter] = acknowledgement

    def passed(self, progress: SourceProgress) -> None:
        """How far a source is that brought nothing; a later word takes its place."""
        with self._lock:
            riding = self._riding()
            riding.progress = [p for p in riding.progress if p.source != progress.source] + [progress]

    def delivered(self, receiver: int, sequence: int) -> None:
        """A receiver has stored the messages up to `sequence`."""
        with self._lock:
            self._riding().delivered[receiver] = sequence

    def processed(self, position: int) -> None:
        """Everything up to `position` is processed."""
        with self._lock:
            self._riding().processed_position = position

    def _riding(self) -> Unit:
        """The unit to add to; call under the lock."""
        if self._since_ns is None:
            self._since_ns = self._clock.monotonic_ns()
        return self._waiting

    # -- for the commit ---

    def take(self) -> Unit | None:
        """All that waits, as a unit without records; None for nothing. One caller at a time, who leads the commit."""
        # Without the lock: whoever's unit is committed has added what goes in front of it, the rest may wait.
        if self._since_ns is None:
            return None
        with self._lock:
            riders, self._waiting = self._waiting, Unit(source=WriteSource.INTERNAL)
            self._since_ns = None
            return riders

    def give_back(self, riders: Unit) -> None:
        """Puts back what could not be stored, unless something newer waits already."""
        with self._lock:
            waiting = self._waiting
            waiting.acknowledged = {**riders.acknowledged, **waiting.acknowledged}
            waiting.delivered = {**riders.delivered, **waiting.delivered}
            newer = {progress.source for progress in waiting.progress}
            waiting.progress += [progress for progress in riders.progress if progress.source not in newer]
            if waiting.processed_position is None:
                waiting.processed_position = riders.processed_position
            if self._since_ns is None:
                self._since_ns = self._clock.monotonic_ns()

    def are_due(self, older_than_ns: int) -> bool:
        """Whether something waits, and the oldest of it for at least so long."""
        since_ns = self._since_ns
        return since_ns is not None and self._clock.monotonic_ns() - since_ns >= older_than_ns
