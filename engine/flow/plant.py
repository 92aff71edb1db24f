"""A simulated plant: offered load in front of the real gate, a log that counts, an exporter of given capacity.

Runs hours of flow control in a second, on a clock turned by hand and without chance: the same scenario and
settings always give the same result. Nothing of the gate is imitated; only what stands around it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from engine.core.records import WriteSource
from engine.flow.gate import FlowControl, Permit
from engine.flow.settings import FlowControlSettings, WriteLimitSettings

STEP_NS = 100 * NS_PER_MS
_STEPS_A_SECOND = NS_PER_SECOND // STEP_NS

# Records per second at a given second.
Load = Callable[[float], float]


def steps(*changes: tuple[float, float]) -> Load:
    """A load that changes at given seconds: `steps((0, 3500), (600, 800))`."""
    assert changes, "a load has a first value"
    assert changes[0][0] == 0, "the first value holds from second 0"

    seconds = [since for since, _ in changes]
    assert seconds == sorted(seconds), "changes follow one another"

    def load(second: float) -> float:
        return changes[bisect_right(seconds, second) - 1][1]

    return load


def alternating(period_seconds: float, *rates: float) -> Load:
    """A load that goes round the given rates, each for a period."""

    def load(second: float) -> float:
        return rates[int(second / period_seconds) % len(rates)]

    return load


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens to the plant. Loads are in records per second."""

    name: str
    offered: Load
    # What the exporter could take.
    capacity: Load
    seconds: int = 3600
    # The last second at which a load changes: settling is measured from there.
    last_change: int = 0
    # When the partition restarts: the gate begins anew, positions stay.
    restarts: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The plant at the end of one second."""

    second: int
    backlog_records: int
    # Of the backlog, what the minimum limit alone has let in while the exporter stood still.
    unavoidable_records: int
    limit_per_second: float
    throttled: bool
    accepted_records: int
    exported_records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """The course of a simulation, and the figures by which controllers are compared."""

    scenario: Scenario
    settings: WriteLimitSettings
    moments: tuple[Moment, ...]
    offered_records: int
    accepted_records: int
    exported_records: int

    @property
    def peak_overshoot(self) -> float:
        """Highest backlog above the acceptable one, as a share of it, net of what could not be avoided."""
        acceptable = self._acceptable
        return max((m.backlog_records - m.unavoidable_records - acceptable) / acceptable for m in self.moments)

    @property
    def mean_distance(self) -> float | None:
        """Mean distance from the acceptable backlog while throttled, as a share of it; None if never throttled."""
        acceptable = self._acceptable
        distances = [abs(m.backlog_records - acceptable) / acceptable for m in self.moments if m.throttled]
        return sum(distances) / len(distances) if distances else None

    @property
    def near(self) -> float:
        """What distance from the acceptable backlog counts as settled: 15 %, or what is exported in a resolution."""
        capacity = self.scenario.capacity(self.scenario.last_change)
        return max(0.15, capacity * self.settings.throttling.resolution_ns / NS_PER_SECOND / self._acceptable)

    @property
    def peak_backlog_records(self) -> int:
        return max(m.backlog_records for m in self.moments)

    @property
    def lowest_limit_per_second(self) -> float:
        return min(m.limit_per_second for m in self.moments)

    @property
    def throttled_seconds(self) -> int:
        return sum(m.throttled for m in self.moments)

    def settled_after_seconds(self, band: float) -> int | None:
        """Seconds from the last change of the loads until no throttled backlog is outside `band` any more.

        `band` is the distance from the acceptable backlog as a share of it. None if that never comes.
        """
        begin = self.scenario.last_change
        acceptable = self._acceptable
        outside = [
            m.second
            for m in self.moments[begin:]
            if m.throttled and abs(m.backlog_records - acceptable) > band * acceptable
        ]
        last = max(outside, default=begin - 1)
        return None if last == self.moments[-1].second else last + 1 - begin

    @property
    def _acceptable(self) -> int:
        # With nothing acceptable every record is one too many.
        return max(1, self.settings.throttling.acceptable_backlog)


def simulate(scenario: Scenario, settings: WriteLimitSettings) -> SimulationResult:
    """Runs a scenario; what is refused does not come again."""
    plant = _Plant(settings)
    moments = []
    for second in range(scenario.seconds):
        if second in scenario.restarts:
            plant.restart()
        for step in range(_STEPS_A_SECOND):
            at = second + step / _STEPS_A_SECOND
            plant.step(scenario.offered(at), scenario.capacity(at))
        moments.append(plant.moment(second))
    return SimulationResult(
        scenario=scenario,
        settings=settings,
        moments=tuple(moments),
        offered_records=plant.offered,
        accepted_records=plant.written,
        exported_records=plant.exported,
    )


class _Plant:
    """Counts what goes in and out. Loads are carried over from step to step, so that no fraction is lost."""

    def __init__(self, settings: WriteLimitSettings) -> None:
        self._settings = settings
        self._clock = ManualClock()
        self.offered = self.written = self.exported = self._unavoidable = 0
        self._offering = self._exporting = 0.0
        self.restart()

    def restart(self) -> None:
        self._gate = FlowControl(
            self._clock, FlowControlSettings(write=self._settings), partition=1, has_exporters=True
        )
        self._tick()

    def step(self, offered_per_second: float, capacity_per_second: float) -> None:
        self._clock.advance_ns(STEP_NS)
        self._export(capacity_per_second)
        accepted = self._offer(offered_per_second)
        self.written += accepted
        if self.written - self.exported <= self._settings.throttling.acceptable_backlog:
            self._unavoidable = 0
        elif capacity_per_second == 0:
            self._unavoidable += min(accepted, round(self._settings.throttling.minimum_limit / _STEPS_A_SECOND))
        if self._clock.monotonic_ns() >= self._gate.next_tick_ns():
            self._tick()

    def moment(self, second: int) -> Moment:
        seen = self._gate.snapshot(last_written=self.written, lowest_acknowledged=self.exported)
        assert seen.write_limit_per_second is not None, "a plant is simulated with its write limit enabled"
        return Moment(
            second=second,
            backlog_records=self.written - self.exported,
            unavoidable_records=self._unavoidable,
            limit_per_second=seen.write_limit_per_second,
            throttled=seen.throttled,
            accepted_records=self.written,
            exported_records=self.exported,
        )

    def _tick(self) -> None:
        self._gate.tick(last_written=self.written, lowest_acknowledged=self.exported)

    def _export(self, capacity_per_second: float) -> None:
        backlog = self.written - self.exported
        # Capacity that found nothing to export is gone.
        self._exporting = min(float(backlog), self._exporting + capacity_per_second / _STEPS_A_SECOND)
        exported = int(self._exporting)
        self._exporting -= exported
        self.exported += exported

    def _offer(self, offered_per_second: float) -> int:
        self._offering += offered_per_second / _STEPS_A_SECOND
        offered = int(self._offering)
        self._offering -= offered
        self.offered += offered
        accepted = 0
        while accepted < offered:
            batch = min(offered - accepted, self._gate.suggested_batch_records())
            if not isinstance(self._gate.try_acquire(WriteSource.SCHEDULED, batch), Permit):
                break
            accepted += batch
        return accepted
