"""The keeper of a partition's gate: its ticks, its settings, and who is told of what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from engine.core.clock import Clock
from engine.core.snapshot import ByHand
from engine.flow.gate import FlowControl
from engine.flow.overrides import Override, SettingsInForce
from engine.partition.flow_journal import FlowJournal


class GateKeeper:
    """Evaluates the throttle in time, and puts settings in force that are set by hand.

    Any thread may call `override`, the ticker calls `tick`. A lock is held until a change of the settings is in force
    and told: it comes before the partition's own, and guards what `in_force` holds.
    """

    def __init__(
        self,
        gate: FlowControl,
        in_force: SettingsInForce,
        journal: FlowJournal,
        clock: Clock,
        positions: Callable[[], tuple[int, int | None]],
    ) -> None:
        """`positions` are the last written one and the lowest that is acknowledged, at one moment."""
        self._gate = gate
        self._in_force = in_force
        self._journal = journal
        self._clock = clock
        self._positions = positions
        self._overriding = Lock()

    @property
    def by_hand(self) -> ByHand | None:
        override = self._in_force.override
        if override is None:
            return None
        return ByHand(since_wall_ns=override.since_wall_ns, until_wall_ns=override.until_wall_ns, by=override.by)

    def opened(self) -> None:
        """Tells what an earlier run left in force; call when everything stands."""
        if self._in_force.override is not None:
            self._journal.overridden(self._in_force.override, again=True)

    def tick(self) -> None:
        """Measures rates and evaluates the throttle when it is time; takes away an override whose time is over."""
        if self._in_force.is_over:
            self._end_override()
        if self._clock.monotonic_ns() >= self._gate.next_tick_ns():
            self._evaluate()

    def _evaluate(self, *, force: bool = False) -> None:
        written, lowest = self._positions()
        for event in self._gate.tick(last_written=written, lowest_acknowledged=lowest, force=force):
            self._journal.report(event)

    def override(self, override: Override | None, *, by: str | None = None) -> None:
        """Puts limits over the configured ones or, with None, brings these back: at once, the throttle included."""
        with self._overriding:
            self._override(override, why=f"brought back by {by or 'hand'}")

    def _end_override(self) -> None:
        with self._overriding:
            # Somebody may have set another one just before.
            if self._in_force.is_over:
                self._override(None, why="the time of what was set by hand is over")

    def _override(self, override: Override | None, *, why: str) -> None:
        in_force = self._in_force
        before = in_force.override
        in_force.put(override)
        now = in_force.override
        for event in self._gate.configure(in_force.settings, overridden=now is not None):
            self._journal.report(event)
        self._evaluate(force=True)
        if now is not None and now != before:
            self._journal.overridden(now)
        elif now is None and before is not None:
            self._journal.reverted(in_force.settings, why=why)
