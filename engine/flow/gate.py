"""The gate in front of a partition's log: every append asks here first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from threading import Lock

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.durations import format_duration
from engine.core.errors import StoppedError
from engine.core.records import WriteSource
from engine.core.snapshot import BlockReason, FlowSnapshot, Outcome
from engine.flow.episodes import Episode
from engine.flow.events import FlowEvent, LimitChanged
from engine.flow.request.limit import RequestLimiterState
from engine.flow.request.slots import RequestSlots, Slot
from engine.flow.settings import FlowControlSettings
from engine.flow.throttle import throttle_factor
from engine.flow.waiter import Waiter
from engine.flow.write_limit import TICK_NS, WriteLimit
from engine.flow.write_limiter import WarmingUpLimiter

# What a writer may put into one batch where nothing limits it.
UNLIMITED_BATCH_RECORDS = 1_000_000
# How much later than told a refused writer may come: he is told whole seconds, rounded up, and has some way to go.
LATE_NS = NS_PER_SECOND + NS_PER_SECOND // 4


class Permit(Slot):
    """The right to append one batch. Whoever holds it says how the append ended.

    `appended` keeps the slot in flight until the position is processed; `completed` ends it at once, where nobody
    processes; `failed` gives the slot back, without a sample, also after `appended`. Any thread may call any, again.
    """

    __slots__ = ("_gate",)

    def __init__(self, gate: FlowControl | None, start_ns: int, in_flight: int) -> None:
        self._gate = gate
        # As the base class does it; one call less on the path of each command.
        self.start_ns = start_ns
        self.in_flight = in_flight
        self.ended = False

    def appended(self, last_position: int) -> None:
        gate = self._gate
        if gate is not None:
            with gate._lock:
                if gate._stopped:
                    gate._requests.give_back(self)
                elif gate._requests.stored(self, last_position, gate._now_ns) and gate._waiting:
                    gate._serve(gate._now_ns())

    def completed(self) -> None:
        gate = self._gate
        if gate is not None:
            with gate._lock:
                now_ns = gate._now_ns()
                if gate._requests.completed(self, now_ns) and gate._waiting:
                    gate._serve(now_ns)

    def failed(self) -> None:
        gate = self._gate
        if gate is not None:
            with gate._lock:
                if gate._requests.give_back(self) and gate._waiting:
                    gate._serve(gate._now_ns())


# Writes that hold no slot share one permit, so that admitting them makes no object.
_WITHOUT_SLOT = Permit(None, 0, 0)
# Named here because looking up a member of an enumeration is slow on the path of each record.
_COMMAND, _INTERNAL = WriteSource.USER_COMMAND, WriteSource.INTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A batch that was not admitted: which limit of which partition, and when to come again."""

    outcome: Outcome
    partition: int
    records: int
    # Records per second or requests in flight, by `outcome`.
    limit: float
    retry_after_ns: int

    @property
    def text(self) -> str:
        what = "1 record" if self.records == 1 else f"{self.records} records"
        if self.outcome is Outcome.REQUEST_LIMIT_EXHAUSTED:
            limit = f"request limit of {self.limit:.0f} commands in flight"
        else:
            limit = f"write limit of {self.limit:g} records/s"
        # In whole milliseconds: nobody comes back sooner.
        wait = format_duration(-(-self.retry_after_ns // 1_000_000) * 1_000_000)
        return f"partition {self.partition} refused {what}: its {limit} is exhausted; try again in {wait}"


class FlowControl:
    """The gate of one partition. One lock, one clock reading an admission.

    Any thread may call any method. Batches are admitted whole, a permit a record, in this order of checks: the
    request limit (user commands only), then the write limit.
    Invariant: `_waiting` is in order of arrival, and none in it could be admitted now: whoever changes a limit,
    frees a slot or lets time pass serves the queue before releasing the lock. A writer that waits for a slot
    lets those pass that need none, for it is their writes that free slots.
    """

    def __init__(
        self,
        clock: Clock,
        settings: FlowControlSettings,
        *,
        partition: int,
        has_exporters: bool,
        overridden: bool = False,
    ) -> None:
        self._now_ns = clock.monotonic_ns
        self._partition = partition
        self._lock = Lock()
        # Everything below is guarded by the lock.
        self._settings = settings
        self._overridden = overridden
        self._write = WriteLimit(clock, settings.write, partition=partition, has_exporters=has_exporters)
        # Probes of the algorithms are spread at random, the same way in each run.
        self._requests = RequestSlots(settings.request, Random(partition))
        self._waiting: list[Waiter[Permit]] = []
        self._stopped = False
        # Without what came to nothing after all; and the same as it was told last.
        self._accepted = dict.fromkeys(WriteSource, 0)
        self._accepted_told = dict.fromkeys(WriteSource, 0)
        self._refused_by_rate = dict.fromkeys(WriteSource, 0)
        self._refused_by_requests = dict.fromkeys(WriteSource, 0)
        self._refused_ns: int | None = None

    @property
    def settings(self) -> FlowControlSettings:
        return self._settings

    # -- admission ----------------------------------------------------------------------------------------------

    def try_acquire(self, source: WriteSource, records: int, *, always_allowed: bool = False) -> Permit | Refusal:
        """Admits or refuses at once. Nobody overtakes waiting writers this way, and internal writes always pass."""
        assert records > 0, "a batch has records"
        with self._lock:
            limiter, requests = self._write.limiter, self._requests
            rule = requests.rule
            if limiter is None and rule is None:
                self._accepted[source] += records
                return _WITHOUT_SLOT
            now_ns = self._now_ns()
            if always_allowed or source is _INTERNAL:
                return self._admit_always(source, records, now_ns)
            if self._waiting:
                self._serve(now_ns)
            if source is _COMMAND and rule is not None and requests.in_flight >= rule.limit:
                self._refused_by_requests[source] += records
                return self._refusal_by_requests(records, now_ns)
            # Whoever still waits for the write limit was refused by it just now, and so is this writer.
            if limiter is not None and not limiter.try_acquire(records, now_ns):
                self._refused_by_rate[source] += records
                return self._refusal_by_rate(records, now_ns)
            # What `_admit` does, without a call: each batch of the gateway and each result passes here.
            self._accepted[source] += records
            if source is not _COMMAND or rule is None:
                return _WITHOUT_SLOT
            requests.in_flight += 1
            return Permit(self, now_ns, requests.in_flight)

    def wait_acquire(
        self,
        source: WriteSource,
        records: int,
        *,
        always_allowed: bool = False,
        blocked: Callable[[BlockReason], None] | None = None,
        is_canceled: Callable[[], bool] | None = None,
    ) -> Permit:
        """Admits in order of arrival, sleeping until it is this writer's turn; it never refuses.

        `blocked` is called, without any lock held, each time the wait goes over to another reason, and not at
        all if there is none. Raises `StoppedError` once the gate is stopped, or `is_canceled()` holds when
        `wake_waiting` makes the writer look.
        """
        assert records > 0, "a batch has records"
        with self._lock:
            self._check_running()
            limiter, requests = self._write.limiter, self._requests
            rule = requests.rule
            if limiter is None and rule is None:
                self._accepted[source] += records
                return _WITHOUT_SLOT
            now_ns = self._now_ns()
            if always_allowed or source is _INTERNAL:
                return self._admit_always(source, records, now_ns)
            if (
                not self._waiting
                and not (source is _COMMAND and rule is not None and requests.in_flight >= rule.limit)
                and (limiter is None or limiter.try_acquire(records, now_ns))
            ):
                return self._admit(source, records, now_ns)
            waiter: Waiter[Permit] = Waiter(source, records)
            self._waiting.append(waiter)
        return self._wait(waiter, blocked, is_canceled)

    def _wait(
        self,
        waiter: Waiter[Permit],
        blocked: Callable[[BlockReason], None] | None,
        is_canceled: Callable[[], bool] | None,
    ) -> Permit:
        told: BlockReason | None = None
        try:
            while True:
                with self._lock:
                    now_ns = self._now_ns()
                    self._serve(now_ns)
                    if waiter.permit is not None:
                        return waiter.permit
                    self._check_running()
                    if is_canceled is not None and is_canceled():
                        raise StoppedError(f"a writer gave up waiting for partition {self._partition}")
                    reason, deadline_ns = waiter.reason, waiter.deadline_ns
                if blocked is not None and reason is not told:
                    told = reason
                    blocked(reason)
                waiter.sleep(None if deadline_ns is None else deadline_ns - now_ns)
        except BaseException:
            self._leave(waiter)
            raise

    def _leave(self, waiter: Waiter[Permit]) -> None:
        """Ends a wait that came to nothing; the next in turn must not sleep on its account."""
        with self._lock:
            if waiter.permit is None:
                self._waiting.remove(waiter)
                self._serve(self._now_ns())
        if waiter.permit is not None:
            # It was its turn in the same moment.
            self.give_back(waiter.permit, waiter.source, waiter.records)

    def _check_running(self) -> None:
        if self._stopped:
            raise StoppedError(f"partition {self._partition} is stopping and admits no more writes")

    def _admit_always(self, source: WriteSource, records: int, now_ns: int) -> Permit:
        """Uses up the limit where it grants, and passes where it does not."""
        if self._write.limiter is not None:
            self._write.limiter.try_acquire(records, now_ns)
        return self._admit(source, records, now_ns)

    def _admit(self, source: WriteSource, records: int, now_ns: int) -> Permit:
        self._accepted[source] += records
        requests = self._requests
        if source is not _COMMAND or requests.rule is None:
            return _WITHOUT_SLOT
        requests.in_flight += 1
        return Permit(self, now_ns, requests.in_flight)

    def _refusal_by_requests(self, records: int, now_ns: int) -> Refusal:
        self._refused_ns = now_ns
        return Refusal(
            outcome=Outcome.REQUEST_LIMIT_EXHAUSTED,
            partition=self._partition,
            records=records,
            limit=self._requests.limit or 0,
            retry_after_ns=self._requests.retry_after_ns,
        )

    def _refusal_by_rate(self, records: int, now_ns: int) -> Refusal:
        self._refused_ns = now_ns
        limiter = self._write.limiter
        retry_after_ns = max(1, self._wait_ns(now_ns))
        if limiter is not None:
            limiter.expect_back(now_ns + retry_after_ns + LATE_NS)
        return Refusal(
            outcome=Outcome.WRITE_RATE_LIMIT_EXHAUSTED,
            partition=self._partition,
            records=records,
            limit=0.0 if limiter is None else limiter.limit_per_second,
            retry_after_ns=retry_after_ns,
        )

    def _wait_ns(self, now_ns: int) -> int:
        limiter = self._write.limiter
        next_free_ns = now_ns if limiter is None else limiter.next_free_ns()
        # A limit of 0 may rise at the next tick at the earliest.
        return TICK_NS if next_free_ns is None else max(0, next_free_ns - now_ns)

    def wait_ns(self) -> int:
        """How long the write limit keeps everybody waiting; 0 where it does not."""
        with self._lock:
            return self._wait_ns(self._now_ns())

    def expect_back(self, after_ns: int) -> None:
        """A batch that is meant for several partitions was refused by another one, and comes again after that time."""
        with self._lock:
            if self._write.limiter is not None:
                self._write.limiter.expect_back(self._now_ns() + after_ns + LATE_NS)

    # -- the queue ----------------------------------------------------------------------------------------------

    def _next_in_turn(self) -> Waiter[Permit] | None:
        """The first waiter that lacks nothing but the write limit."""
        if not self._requests.is_exhausted:
            return self._waiting[0] if self._waiting else None
        return next((waiter for waiter in self._waiting if not waiter.takes_slot), None)

    def _serve(self, now_ns: int) -> None:
        """Admits in order whom the limits let pass now, and tells the others what they wait for."""
        if self._stopped:
            return
        limiter = self._write.limiter
        while (turn := self._next_in_turn()) is not None:
            if limiter is not None and not limiter.try_acquire(turn.records, now_ns):
                break
            self._waiting.remove(turn)
            turn.permit = self._admit(turn.source, turn.records, now_ns)
            turn.wake()
        exhausted = self._requests.is_exhausted
        for waiter in self._waiting:
            waiter.expect(
                BlockReason.REQUEST_LIMIT if exhausted and waiter.takes_slot else BlockReason.WRITE_LIMIT,
                limiter.next_free_ns() if limiter is not None and waiter is turn else None,
            )

    def _serve_waiting(self) -> None:
        if self._waiting:
            self._serve(self._now_ns())

    # -- what becomes of admitted commands ----------------------------------------------------------------------

    def give_back(self, permit: Permit, source: WriteSource, records: int) -> None:
        """Takes back what was just admitted and is not used after all: the slot, and the permits of its records."""
        with self._lock:
            self._accepted[source] -= records
            if permit is not _WITHOUT_SLOT:
                self._requests.give_back(permit)
            if self._write.limiter is not None:
                self._write.limiter.give_back(records, self._now_ns())
            self._serve_waiting()

    def not_stored(self, source: WriteSource, records: int) -> None:
        """What was admitted was refused by the log: it does not count as accepted. Its permits are used up."""
        with self._lock:
            self._accepted[source] -= records

    def _accepted_records(self) -> dict[WriteSource, int]:
        """A counter never goes down: what was told and then came to nothing is made good by what comes next."""
        told = self._accepted_told
        for source, count in self._accepted.items():
            told[source] = max(told[source], count)
        return told

    def processed(self, position: int) -> None:
        """Everything up to `position` is processed: ends slots and takes their round trips as samples."""
        with self._lock:
            if self._requests.processed(position, self._now_ns) and self._waiting:
                self._serve(self._now_ns())

    # -- the ticker's and the operator's side -------------------------------------------------------------------

    def tick(self, *, last_written: int, lowest_acknowledged: int | None, force: bool = False) -> list[FlowEvent]:
        """Observes the positions, decides the throttle when that is due (or forced) and says what changed.

        The partition's ticker calls it at `next_tick_ns`, whether or not anything is written or exported.
        """
        with self._lock:
            now_ns = self._now_ns()
            events = self._write.tick(
                last_written=last_written, lowest_acknowledged=lowest_acknowledged, force=force, now_ns=now_ns
            )
            self._serve_waiting()
            return events

    def go_on_from(self, lowest_acknowledged: int, exporting_rate_per_second: float) -> None:
        """Takes over what the last owner of the partition measured; before the first tick."""
        with self._lock:
            self._write.go_on_from(lowest_acknowledged, exporting_rate_per_second, self._now_ns())

    def exporting_rate_per_second(self) -> float | None:
        with self._lock:
            return self._write.exporting_rate_per_second(self._now_ns())

    def next_tick_ns(self) -> int:
        """Monotonic time at which `tick` wants to be called next."""
        with self._lock:
            return self._write.next_tick_ns()

    def configure(self, settings: FlowControlSettings, *, overridden: bool) -> list[FlowEvent]:
        """Applies other settings at once; the same ones change nothing. Commands in flight stay in flight."""
        with self._lock:
            self._settings = settings
            self._overridden = overridden
            self._requests.configure(settings.request)
            events = self._write.configure(settings.write, self._now_ns())
            self._serve_waiting()
            return events

    def wake_waiting(self) -> None:
        """Lets everyone who waits look whether the wait was canceled."""
        with self._lock:
            for waiter in self._waiting:
                waiter.wake()

    def stop(self) -> None:
        """Frees everyone who waits, with `StoppedError`, and all slots."""
        with self._lock:
            self._stopped = True
            self._requests.give_back_all()
            for waiter in self._waiting:
                waiter.wake()

    # -- what others may see ------------------------------------------------------------------------------------

    def suggested_batch_records(self) -> int:
        """What 100 ms of the present limit allow, at least 1: batches of this size keep a stream smooth."""
        limiter = self._write.limiter
        if limiter is None:
            return UNLIMITED_BATCH_RECORDS
        return min(max(1, int(limiter.limit_per_second / 10)), UNLIMITED_BATCH_RECORDS)

    def episodes(self) -> tuple[Episode, ...]:
        """Throttling episodes, oldest first; a running one is last and has no end."""
        with self._lock:
            return self._write.episodes(self._now_ns())

    def limit_changes(self) -> tuple[LimitChanged, ...]:
        """The last changes of the write limit with their reasons, oldest first."""
        with self._lock:
            return tuple(self._write.changes)

    def request_limiter_state(self) -> RequestLimiterState | None:
        """The request limit as its algorithm sees it; None while disabled."""
        with self._lock:
            return self._requests.state()

    def snapshot(self, *, last_written: int, lowest_acknowledged: int | None) -> FlowSnapshot:
        """Everything an outsider may see of this gate, at one moment."""
        with self._lock:
            now_ns = self._now_ns()
            write, limiter = self._write, self._write.limiter
            throttling = write.settings.throttling if limiter is not None else None
            throttles = throttling is not None and throttling.enabled
            limit_max = None if limiter is None else float(write.settings.limit)
            write_rate = write.write_rate_per_second(now_ns)
            backlog = None if lowest_acknowledged is None else max(0, last_written - lowest_acknowledged)
            return FlowSnapshot(
                writes={
                    (source, outcome): count
                    for outcome, counts in (
                        (Outcome.ACCEPTED, self._accepted_records()),
                        (Outcome.WRITE_RATE_LIMIT_EXHAUSTED, self._refused_by_rate),
                        (Outcome.REQUEST_LIMIT_EXHAUSTED, self._refused_by_requests),
                    )
                    for source, count in counts.items()
                },
                write_limit_per_second=None if limiter is None else limiter.limit_per_second,
                write_limit_max_per_second=limit_max,
                ramp_up_rate_per_second=(
                    limiter.momentary_rate_per_second(now_ns) if isinstance(limiter, WarmingUpLimiter) else None
                ),
                throttled=write.is_throttled,
                throttled_ns=write.throttled_ns(now_ns),
                throttle_factor=(
                    throttle_factor(backlog, throttling.acceptable_backlog)
                    if throttling is not None and throttles
                    else None
                ),
                acceptable_backlog_records=(
                    throttling.acceptable_backlog if throttling is not None and throttles else None
                ),
                exporting_rate_per_second=write.exporting_rate_per_second(now_ns),
                write_rate_per_second=write_rate,
                partition_load_ratio=(None if limit_max is None or write_rate is None else write_rate / limit_max),
                request_limit=self._requests.limit,
                requests_in_flight=self._requests.in_flight,
                waiting_writers=len(self._waiting),
                next_free_ns=None if limiter is None else limiter.next_free_ns(),
                reason=write.reason,
                overridden=self._overridden,
                throttles=write.throttles,
                throttle_start_wall_ns=write.throttle_start_wall_ns,
                refused_ns=self._refused_ns,
            )
