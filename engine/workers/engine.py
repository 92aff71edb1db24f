"""The engine over several processes: the same door, with nobody's code behind it but our own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.backpressure.flames import FlameGraph
from engine.core.clock import NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError, NotReadyError, PenstockError, TaskFailedError
from engine.core.identity import stable_id
from engine.core.interpreter import has_gil
from engine.core.interruptible import wait_for
from engine.core.pause import Pause
from engine.core.rarely import Rarely, and_more
from engine.core.readiness import check_ready, check_running, check_takes_records
from engine.core.snapshot import EngineSnapshot, EngineState, GatewaySnapshot, VertexBackPressure
from engine.flow.episodes import Episode, by_start
from engine.flow.events import LimitChanged, by_time
from engine.flow.gate import Refusal
from engine.flow.overrides import Override, set_by_hand
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings
from engine.options import EngineOptions
from engine.runtime.data_folder import DataFolder
from engine.runtime.intake import Written
from engine.runtime.merging import merged
from engine.runtime.replaying import ReplayStanding
from engine.workers.blueprint import Blueprint, Outline
from engine.workers.by_hand import ByHand
from engine.workers.crew import Crew, GivenUpError
from engine.workers.part import PartOrder, PartReport
from engine.workers.process import WorkerLost
from engine.workers.roll_call import RollCall
from engine.workers.seat import Seat
from engine.workers.spread_intake import SpreadIntake
from engine.writing.reject_folder import RejectFolder

log = logging.getLogger("penstock.engine")

# How long a change of limits waits until it is in force; a worker that is busier than that has it a little later.
_CHANGE_SECONDS = 10.0
# How often the supervisor looks when it is told nothing: what a worker counted since the last look dies with it.
_LOOK_EVERY_NS = NS_PER_SECOND // 2
_HISTORY_EVERY_NS = 5 * NS_PER_SECOND
_END_LOOK_SECONDS = 0.1
# How long after the drain time workers that still run are ended.
_END_GRACE_NS = 10 * NS_PER_SECOND


class WorkerEngine:
    """Runs one pipeline in `workers` processes over one data folder; the same to its users as `Engine`.

    Any thread may call any method. This process runs no user code: the pipeline is made in each worker by `blueprint`.
    A supervisor thread starts the workers, starts those again that die, and ends them.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        data: Path | str,
        *,
        workers: int,
        name: str = "",
        flow_control: FlowControlSettings | None = None,
        options: EngineOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`name` is the pipeline's, for who looks before a worker has said it."""
        if workers < 1:
            raise ConfigurationError(f"workers must be at least 1, not {workers}")
        if options is not None and options.storage == "kafka":
            raise ConfigurationError(
                "workers cannot be with storage kafka; run the same pipeline on more machines instead"
            )
        self._name = name
        self._flow_control = flow_control or FlowControlSettings()
        self._options = options or EngineOptions()
        self._clock = clock or SystemClock()
        self._folder = DataFolder(Path(data))
        self._rejects = RejectFolder(self._folder.rejects)
        self._troubles = Rarely(self._clock)
        # Guarded by _wake, which also tells the supervisor to look.
        self._wake = threading.Condition()
        self._state = EngineState.STARTING
        self._failure: TaskFailedError | None = None
        self._stop_requested = False
        self._drain = True
        self._news = False
        self._crew = Crew(
            blueprint, workers, self._order_of, self._clock, opened=self._tell_again, told=self._tell_news
        )
        seats = self._crew.seats
        self._by_hand = ByHand(seats, self._folder.path, persistent=self._flow_control.persist_overrides)
        self._roll_call = RollCall(seats, self._clock)
        self._intake = SpreadIntake(seats)
        self._outline: Outline | None = None
        self._gateway: Callable[[], GatewaySnapshot] | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="penstock-supervisor", daemon=True)
        self._started = threading.Event()
        self._start_error: BaseException | None = None
        self._ended = threading.Event()
        self._started_wall_ns = self._clock.wall_ns()

    # -- life ---

    def start(self) -> Self:
        """Starts the workers and every task. Raises `PenstockError` and leaves nothing behind."""
        self._supervisor.start()
        self._started.wait()
        if self._start_error is not None:
            raise self._start_error
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the engine has ended; False when `timeout` seconds passed before.

        Raises `TaskFailedError` when a task, or a worker that keeps dying, stopped the run.
        """
        if not wait_for(self._ended, timeout):
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def stop(self, *, drain: bool = True) -> None:
        """Ends the engine and waits for it, as `Engine.stop` does."""
        with self._wake:
            if not self._supervisor.is_alive() and not self._started.is_set():
                return
            self._stop_requested = True
            self._drain = self._drain and drain
            self._wake.notify_all()
        wait_for(self._ended)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(drain=error is None)

    @property
    def state(self) -> EngineState:
        return self._state

    # -- supervision ---

    def _tell_news(self) -> None:
        with self._wake:
            self._news = True
            self._wake.notify_all()

    def _fail(self, text: str) -> None:
        with self._wake:
            if self._failure is None:
                self._failure = TaskFailedError(text)

    def _supervise(self) -> None:
        try:
            if self._begin():
                self._watch()
                with self._wake:
                    self._state = EngineState.STOPPING
                    drain = self._drain and self._failure is None
                self._end(drain=drain)
        except BaseException as error:
            log.exception("the supervisor failed")
            self._fail(f"the engine failed: {error!r}")
        finally:
            self._crew.kill()
            self._folder.close()
            with self._wake:
                self._state = EngineState.FAILED if self._failure is not None else EngineState.FINISHED
            self._ended.set()
            self._started.set()

    def _begin(self) -> bool:
        """False when nothing runs: who called `start` is told why, unless the end was wanted before the beginning."""
        try:
            self._bring_together()
        except PenstockError as error:
            if not (isinstance(error, GivenUpError) and self._stop_requested):
                self._start_error = error
            return False
        with self._wake:
            self._state = EngineState.RUNNING
        self._started.set()
        return True

    def _bring_together(self) -> None:
        """Fills all seats, however many die meanwhile. Returns early when a worker's own engine has failed."""
        while self._crew.has_lost and self._failure is None:
            try:
                self._crew.bring_together(self._claim_folder, self._pause, lambda: self._stop_requested)
            except WorkerLost:
                # It may also have said last words: that is a run that fails, not a worker to be started again.
                for seat in self._crew.seats:
                    self._hear(seat)

    def _claim_folder(self, outline: Outline) -> int:
        """The lock of the data folder, which is opened the first time."""
        if self._outline is None:
            self._folder.open(outline.name, outline.partitions, self._options.storage)
            self._by_hand.recall()
            self._outline = outline
        return self._folder.lock

    def _order_of(self, seat: Seat) -> PartOrder:
        """What a worker is told when it opens its partitions, also after a restart."""
        standing = self._by_hand.standing()
        return PartOrder(
            worker=seat.number,
            share=seat.share,
            owners=self._crew.owners,
            data=self._folder.path,
            options=self._options,
            flow_control=self._flow_control,
            overrides=standing.overrides,
            paused=standing.paused,
            paces=standing.paces,
        )

    def _tell_again(self, seat: Seat) -> None:
        self._by_hand.tell_again(seat)

    def _watch(self) -> None:
        """Returns when everything is done, somebody wants the end, or the run has failed."""
        outline = self._outline
        assert outline is not None, "the crew is loaded"
        bounded = bool(outline.sources) and not self._options.run_forever
        next_look_ns = next_history_ns = 0
        while True:
            with self._wake:
                if not (self._stop_requested or self._news or self._failure):
                    self._wake.wait(_LOOK_EVERY_NS / NS_PER_SECOND)
                self._news = False
            for seat in self._crew.seats:
                self._hear(seat)
            if self._failure is not None or self._stop_requested:
                return
            if self._crew.has_lost:
                self._recover()
                continue
            # What is known of the workers, for the case that one dies.
            now_ns = self._clock.monotonic_ns()
            if now_ns >= next_look_ns:
                self._roll_call.snapshots()
                next_look_ns = now_ns + _LOOK_EVERY_NS
            if now_ns >= next_history_ns:
                self._roll_call.take_histories()
                next_history_ns = now_ns + _HISTORY_EVERY_NS
            if self._have_replayed() and bounded and self._is_done():
                return

    def _hear(self, seat: Seat) -> bool:
        """Takes a worker's last words, where it said any: its engine has ended, by a failure or because it was told."""
        process = seat.process
        if process is None or process.ended is None:
            return False
        seat.take(process.ended.snapshot)
        if process.ended.failure is not None:
            self._fail(process.ended.failure)
        return True

    def _have_replayed(self) -> bool:
        """Whether no rejects are left that were set out; those that all workers have tried again are deleted."""
        try:
            return self._delete_replayed()
        except OSError as error:
            if (count := self._troubles.more()) is not None:
                log.warning("rejects cannot be looked at just now: %s%s", error, and_more(count))
            return False

    def _delete_replayed(self) -> bool:
        replays = self._rejects.replays()
        if not replays:
            return True
        standings: list[ReplayStanding | None] = self._roll_call.of_all("replay_standing")
        known = [standing for standing in standings if standing is not None]
        if len(known) < len(standings):
            return False
        for replay in replays:
            if all(replay.path.name in standing.tried for standing in known):
                self._rejects.done(replay)
                log.warning("all rejects of %s were tried again", replay.culprit)
        names = {replay.path.name for replay in self._rejects.replays()}
        return names <= frozenset().union(*(standing.strange for standing in known))

    def _is_done(self) -> bool:
        """Nothing is on its way anywhere: seen twice with nothing written between, for partitions talk."""
        looks: list[list[tuple[int, ...]]] = []
        for _ in range(2):
            reports: list[PartReport | None] = self._roll_call.of_all("report")
            if not all(report is not None and report.is_done for report in reports):
                return False
            looks.append([report.last_written for report in reports if report is not None])
        return looks[0] == looks[1]

    def _recover(self) -> None:
        """Starts those again who died, and then all fronts together; where that cannot be, the run ends."""
        if self._options.storage == "memory":
            self._fail(f"{self._crew.bury()}, and with it the partitions that it had in memory")
            return
        try:
            self._bring_together()
        except GivenUpError as error:
            if not self._stop_requested:
                self._fail(str(error))
        except PenstockError as error:
            self._fail(f"a worker cannot start again: {error}")

    def _pause(self, ns: int) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stop_requested, ns / NS_PER_SECOND)

    def _end(self, *, drain: bool) -> None:
        """Lets every worker end its share, all at the same time: what one still sends another still takes."""
        for seat in self._crew.seats:
            if seat.is_open:
                seat.call("end", drain)
        deadline_ns = self._clock.monotonic_ns() + self._options.drain_timeout_ns + _END_GRACE_NS
        halted = False
        while remaining := [seat for seat in self._crew.seats if seat.process is not None]:
            with self._wake:
                if not self._news:
                    self._wake.wait(_END_LOOK_SECONDS)
                self._news = False
            for seat in remaining:
                if seat.process is None or not seat.process.is_gone:
                    continue
                if not self._hear(seat) and not halted:
                    # Who died sends nothing more, not even that nothing more will come.
                    halted = True
                    for other in remaining:
                        other.call("halt")
                seat.process.reap()
                seat.emptied(self._clock.wall_ns())
            if self._clock.monotonic_ns() >= deadline_ns:
                log.warning("workers have not ended in time; what they had goes on in the next run")
                return

    # -- the door ---

    @property
    def data_folder(self) -> Path | None:
        """As that of `Engine`."""
        return None if self._options.storage == "memory" else self._folder.path

    def snapshot(self) -> EngineSnapshot:
        """Everything an outsider may see, at this moment; of a worker that is dead or silent, what was last known."""
        known = self._roll_call.snapshots()
        name = self._name if self._outline is None else self._outline.name
        whole = EngineSnapshot(
            pipeline=name,
            job_id=stable_id(name),
            state=self._state,
            failure=None if self._failure is None else str(self._failure),
            started_wall_ns=self._started_wall_ns,
            taken_wall_ns=self._clock.wall_ns(),
            taken_monotonic_ns=self._clock.monotonic_ns(),
            vertices=(),
            edges=(),
            partitions=(),
            tasks=(),
            workers=tuple(seat.snapshot() for seat in self._crew.seats),
            gateway=None if self._gateway is None else self._gateway(),
            rejects=self._rejects.counts(),
            has_gil=has_gil(),
        )
        # Some workers' partitions alone would look like all.
        return whole if self._state is EngineState.STARTING else merged(whole, known)

    def attach_gateway(self, snapshot: Callable[[], GatewaySnapshot]) -> None:
        """From now on snapshots tell of this gateway; `snapshot` may be called from any thread, also when it closed."""
        self._gateway = snapshot

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        """The back pressure of one vertex; on demand, being looked at is what starts a measurement."""
        self._roll_call.of_all("look_at_back_pressure", vertex_id)
        for seen in self.snapshot().back_pressure:
            if seen.vertex_id == vertex_id:
                return seen
        raise ConfigurationError(f"there is no vertex {vertex_id!r}")

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """None: stacks stay in the workers."""
        if all(vertex.vertex_id != vertex_id for vertex in self.snapshot().vertices):
            raise ConfigurationError(f"there is no vertex {vertex_id!r}")
        return None

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Starts a fresh measurement of a vertex; False when one is under way or none can be."""
        return any(self._roll_call.of_all("sample_back_pressure", vertex_id))

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Writes values from outside as user commands, as `Engine.write` does."""
        check_takes_records(self._state)
        return self._intake.write(values, partition=partition)

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        """The settings in force, by partition; raises `NotReadyError` as all about limits until it has started."""
        overrides = self.flow_overrides()
        return {n: self._flow_control if o is None else o.settings for n, o in overrides.items()}

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        """What each partition's request limiter has come to; None while it is disabled, or its worker is away."""
        check_ready(self._state)
        return dict.fromkeys(self._partitions, None) | self._roll_call.by_partition("request_limiter_states")

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        """The settings that every partition starts with and goes back to."""
        return self._flow_control

    def flow_overrides(self) -> Mapping[int, Override | None]:
        """What was set by hand, by partition; None where the configured settings hold."""
        check_ready(self._state)
        kept = self._by_hand.standing().overrides
        known: dict[int, Override | None] = {number: kept.get(number) for number in self._partitions}
        # The workers know when the time of one is over.
        return known | self._roll_call.by_partition("flow_overrides")

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        """Sets the limits of the named partitions by hand, at once; after `ttl_ns` the configured ones come back.

        Raises `ConfigurationError`, or `NotReadyError` unless it runs and all the partitions' workers are there, and
        changes none. It is one too when a worker dies or is silent meanwhile; that one has them when it is back.
        """
        overrides = set_by_hand(settings, wall_ns=self._clock.wall_ns(), ttl_ns=ttl_ns, by=by)
        self._override(overrides, by=by)

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        """Brings the configured limits back, on all partitions or those named. Raises as `apply_flow_control`."""
        check_ready(self._state)
        self._override(dict.fromkeys(self._partitions if partitions is None else partitions), by=by)

    def _override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> None:
        check_running(self._state)
        unknown = sorted(set(overrides) - set(self._partitions))
        if unknown:
            raise ConfigurationError(f"there is no partition {unknown[0]}")
        concerned = [seat for seat in self._crew.seats if not overrides.keys().isdisjoint(seat.share.partitions)]
        away = [str(seat.number) for seat in concerned if not seat.is_open]
        if away:
            raise NotReadyError(f"worker {', '.join(away)} is away and is started again; no limit was changed")
        answers = self._roll_call.answers(self._by_hand.override(overrides, by=by), _CHANGE_SECONDS)
        if len(answers) < len(concerned) or not all(answers):
            raise NotReadyError("not all workers have confirmed the change; the others take it when they are back")

    def throttling_episodes(self) -> tuple[Episode, ...]:
        """The throttling episodes of all partitions by their start; those that still run have no end."""
        check_ready(self._state)
        self._roll_call.take_histories()
        episodes = (episode for seat in self._crew.seats for episode in seat.episodes)
        return by_start(episodes)

    def limit_changes(self) -> tuple[LimitChanged, ...]:
        """The last changes of the write limits of all partitions with their reasons, oldest first."""
        self._roll_call.take_histories()
        changes = (change for seat in self._crew.seats for change in seat.limit_changes)
        return by_time(changes)

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        """As `Engine.pause_exporter`."""
        self._check_exporter(name)
        pause = Pause(soft=soft, since_wall_ns=self._clock.wall_ns(), by=by) if paused else None
        self._roll_call.answers(self._by_hand.pause(name, pause))

    def pace_exporter(self, name: str, records_per_second: float | None) -> None:
        """Limits how fast each partition's instance of an exporter hands records over; None takes it away."""
        self._check_exporter(name)
        self._roll_call.answers(self._by_hand.pace(name, records_per_second))

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        """What was set aside by a task and is kept, oldest first, at most so many.

        Raises `ConfigurationError` where there is nothing of it.
        """
        return [*islice(self._rejects.lines(task), most)]

    def drop_rejects(self, task: str) -> int:
        """Deletes what was set aside by a task; how much it was. Raises as `rejects`."""
        return self._rejects.drop(task)

    def replay_rejects(self, task: str) -> int:
        """Tries again what was set aside by a task, soon and each once; how much it is. Raises as `rejects`."""
        return self._rejects.set_out(task, self._clock.wall_ns())

    def _check_exporter(self, name: str) -> None:
        if self._outline is None or name not in self._outline.exporters:
            raise ConfigurationError(f"there is no exporter {name!r}")

    @property
    def _partitions(self) -> Iterable[int]:
        return sorted(self._crew.owners)
