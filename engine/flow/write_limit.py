"""The write side of the gate: limiter, throttle, measured rates and episodes of one partition."""

from __future__ import annotations

from collections import deque

from engine.core.clock import NS_PER_SECOND, Clock
from engine.flow.episodes import Episode, EpisodeLog
from engine.flow.events import FlowEvent, LimitChanged, ThrottlingEnded, ThrottlingStarted
from engine.flow.rate import RateMeasurement
from engine.flow.settings import WriteLimitSettings
from engine.flow.throttle import ThrottleDecision, decide, step_ns, unthrottled
from engine.flow.write_limiter import WriteRateLimiter, write_rate_limiter

TICK_NS = NS_PER_SECOND
CHANGES_KEPT = 500
# What the reason of a change begins with when it was not the throttle's own doing.
_SETTINGS_CHANGED = "the settings were changed; "


class WriteLimit:
    """Holds the limiter at the rate that the throttle decides. One caller at a time: the gate holds the lock.

    Invariant: an episode runs ⇔ the present decision is throttled.
    """

    def __init__(
        self, clock: Clock, settings: WriteLimitSettings | None, *, partition: int, has_exporters: bool
    ) -> None:
        self._clock = clock
        self._partition = partition
        self._has_exporters = has_exporters
        self._settings = settings or WriteLimitSettings()
        self._last_written = 0
        self._lowest_acknowledged: int | None = None
        throttling = self._settings.throttling
        window = (throttling.measurement_window_ns, throttling.measurement_resolution_ns)
        self._exported = RateMeasurement(*window)
        self._written = RateMeasurement(*window)
        self._episodes = EpisodeLog(partition)
        # The last changes of the limit, oldest first.
        self.changes: deque[LimitChanged] = deque(maxlen=CHANGES_KEPT)
        now_ns = clock.monotonic_ns()
        self.decision: ThrottleDecision | None = None
        # None while the write limit is disabled; the hot path asks it directly.
        self.limiter: WriteRateLimiter | None = None
        self._next_tick_ns = self._next_decision_ns = now_ns
        if self._settings.enabled:
            self._enable(self._settings, now_ns)

    # -- what is ---

    @property
    def settings(self) -> WriteLimitSettings:
        return self._settings

    @property
    def is_throttled(self) -> bool:
        return self.decision is not None and self.decision.throttled

    @property
    def reason(self) -> str:
        """Why the limit is what it is, one sentence without its full stop."""
        return "the write limit is disabled" if self.decision is None else self.decision.reason

    def exporting_rate_per_second(self, now_ns: int) -> float | None:
        return self._exported.per_second(now_ns)

    def write_rate_per_second(self, now_ns: int) -> float | None:
        return self._written.per_second(now_ns)

    def throttled_ns(self, now_ns: int) -> int:
        return self._episodes.throttled_ns(now_ns)

    @property
    def throttles(self) -> int:
        """Episodes that have begun."""
        return self._episodes.begun

    @property
    def throttle_start_wall_ns(self) -> int | None:
        return self._episodes.last_start_wall_ns

    def episodes(self, now_ns: int) -> tuple[Episode, ...]:
        return self._episodes.episodes(now_ns)

    def next_tick_ns(self) -> int:
        """When the rates want to be observed or the throttle to be decided again."""
        if self.decision is None or not self._settings.throttling.enabled:
            return self._next_tick_ns
        return min(self._next_tick_ns, self._next_decision_ns)

    # -- what happens ---

    def tick(self, *, last_written: int, lowest_acknowledged: int | None, force: bool, now_ns: int) -> list[FlowEvent]:
        """Observes both positions and decides the throttle's rate if that is due."""
        self._last_written = last_written
        self._lowest_acknowledged = lowest_acknowledged if self._has_exporters else None
        self._written.observe(last_written, now_ns)
        if self._lowest_acknowledged is not None:
            self._exported.observe(self._lowest_acknowledged, now_ns)
        self._next_tick_ns = now_ns + TICK_NS
        if self.decision is not None and self._episodes.running:
            self._episodes.observe(
                limit_per_second=self.decision.limit_per_second,
                backlog_records=self._backlog() or 0,
                reason=self.reason,
            )
        if self.limiter is None or (now_ns < self._next_decision_ns and not force):
            return []
        return self._decide(now_ns, self.decision)

    def go_on_from(self, lowest_acknowledged: int, exporting_rate_per_second: float, now_ns: int) -> None:
        """Takes over what the last owner of the partition measured."""
        self._exported.go_on_from(lowest_acknowledged, exporting_rate_per_second, now_ns)

    def configure(self, settings: WriteLimitSettings | None, now_ns: int) -> list[FlowEvent]:
        """Applies new settings on the positions of the last tick; the limiter's permits and ramp-up stay."""
        old, new = self._settings, settings or WriteLimitSettings()
        if new == old:
            return []
        self._settings = new
        throttling = new.throttling
        for rate in (self._exported, self._written):
            rate.configure(throttling.measurement_window_ns, throttling.measurement_resolution_ns)
        if not new.enabled:
            return self._disable(now_ns)
        before = self.decision
        if self.limiter is None or new.ramp_up_ns != old.ramp_up_ns:
            self._enable(new, now_ns)
        return self._decide(now_ns, before, cause=_SETTINGS_CHANGED)

    def _enable(self, settings: WriteLimitSettings, now_ns: int) -> None:
        predecessor = self.limiter
        self.limiter = write_rate_limiter(settings.limit, settings.ramp_up_ns, now_ns)
        if predecessor is not None:
            self.limiter.take_over_debt(predecessor, now_ns)
        self.decision = unthrottled(settings.limit, "nothing was measured yet")
        self._next_decision_ns = now_ns

    def _disable(self, now_ns: int) -> list[FlowEvent]:
        before, self.decision, self.limiter = self.decision, None, None
        return self._events(before, now_ns, _SETTINGS_CHANGED)

    def _decide(self, now_ns: int, before: ThrottleDecision | None, *, cause: str = "") -> list[FlowEvent]:
        assert self.limiter is not None
        settings = self._settings
        self.decision = decide(
            backlog_records=self._backlog(),
            exporting_rate_per_second=self._exported.per_second(now_ns),
            limit_per_second=settings.limit,
            throttling=settings.throttling,
            stored_records=self.limiter.stored_records(now_ns),
        )
        self.limiter.set_limit(self.decision.limit_per_second, now_ns)
        self._next_decision_ns = now_ns + step_ns(settings.limit, settings.throttling)
        return self._events(before, now_ns, cause)

    def _events(self, before: ThrottleDecision | None, now_ns: int, cause: str) -> list[FlowEvent]:
        """What the step from one decision to the next means to the outside; keeps the episodes in step."""
        wall_ns = self._clock.wall_ns()
        after = self.decision
        events: list[FlowEvent] = []
        old_limit = None if before is None else before.limit_per_second
        new_limit = None if after is None else after.limit_per_second
        if old_limit != new_limit:
            throttling = self._settings.throttling
            on_backlog = after is not None and throttling.enabled
            change = LimitChanged(
                partition=self._partition,
                wall_ns=wall_ns,
                old_limit_per_second=old_limit,
                new_limit_per_second=new_limit,
                backlog_records=self._backlog(),
                acceptable_backlog_records=throttling.acceptable_backlog if on_backlog else None,
                factor=None if after is None else after.factor,
                exporting_rate_per_second=self._exported.per_second(now_ns),
                reason=cause + self.reason,
            )
            self.changes.append(change)
            events.append(change)
        backlog = self._backlog() or 0
        if after is not None and after.throttled:
            if self._episodes.running:
                self._episodes.observe(
                    limit_per_second=after.limit_per_second, backlog_records=backlog, reason=self.reason
                )
            else:
                self._episodes.begin(
                    limit_per_second=after.limit_per_second,
                    backlog_records=backlog,
                    reason=self.reason,
                    now_ns=now_ns,
                    wall_ns=wall_ns,
                )
                events.append(
                    ThrottlingStarted(
                        partition=self._partition,
                        wall_ns=wall_ns,
                        limit_per_second=after.limit_per_second,
                        limit_max_per_second=self._settings.limit,
                        backlog_records=backlog,
                        reason=self.reason,
                    )
                )
        elif self._episodes.running:
            episode = self._episodes.end(now_ns=now_ns, wall_ns=wall_ns)
            events.append(
                ThrottlingEnded(partition=self._partition, wall_ns=wall_ns, episode=episode, reason=self.reason)
            )
        return events

    def _backlog(self) -> int | None:
        if self._lowest_acknowledged is None:
            return None
        return max(0, self._last_written - self._lowest_acknowledged)
