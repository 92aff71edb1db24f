"""The engine: a pipeline's partitions and tasks, from start to end, and the door to all of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.backpressure.flames import FlameGraph
from engine.backpressure.markers import Markers
from engine.backpressure.monitor import BackPressureMonitor
from engine.backpressure.stacks import check_interpreter
from engine.core.clock import NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError, DamagedInputError, PenstockError, TaskFailedError
from engine.core.identity import stable_id
from engine.core.interpreter import has_gil
from engine.core.interruptible import wait_for
from engine.core.observing import BatchObserver
from engine.core.pause import Pause
from engine.core.readiness import check_ready, check_running, check_takes_records
from engine.core.snapshot import (
    EngineSnapshot,
    EngineState,
    GatewaySnapshot,
    VertexBackPressure,
    VertexKind,
)
from engine.exporting.task import ExportingTask
from engine.flow.episodes import Episode, by_start
from engine.flow.events import LimitChanged, by_time
from engine.flow.gate import Refusal
from engine.flow.overrides import Override, set_by_hand
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings
from engine.flow.waiter import Waiter
from engine.log.storage import LogStorage
from engine.options import EngineOptions
from engine.partition.partition import Partition
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Delivery, Receiver
from engine.processing.taking_in import TakingIn
from engine.runtime.data_folder import DataFolder
from engine.runtime.ending import IN_FRONT, Ending
from engine.runtime.front import key_text
from engine.runtime.intake import Intake, Written
from engine.runtime.kafka_log import KafkaLog, open_kafka_log
from engine.runtime.opening import Opening
from engine.runtime.override_file import OverrideFile
from engine.runtime.pause_file import PauseFile
from engine.runtime.replaying import Replayer
from engine.runtime.share import Share
from engine.runtime.ticker import Ticker
from engine.runtime.wiring import Wired, Wiring, check
from engine.tasks.buffers import LocalBufferPool
from engine.tasks.subtask import Subtask
from engine.writing.reject_folder import RejectFolder

log = logging.getLogger("penstock.engine")

# The functions in which a task stands while it is held back; each is entered only after its timer was told why.
HELD_BACK = (
    LocalBufferPool.request_buffer_blocking,
    Waiter.sleep,
    Partition.wait_for_outbox,
    Partition.wait_for_room,
)
# How long an end waits for writes from outside that are being committed.
_INTAKE_CLOSE_NS = 2 * NS_PER_SECOND
# How long a replay may take to notice the end.
_REPLAY_JOIN_SECONDS = 2.0
# How often who awaits the end of a run looks for the ends of tasks.
END_LOOK_SECONDS = 0.1


class Engine:
    """Runs one pipeline over one data folder; a context manager from `start` to `stop`.

    Any thread may call any method. A supervisor thread of its own watches for the three ways to end: all sources are
    read, processed and acknowledged; somebody calls `stop`; a task fails.
    """

    def __init__(
        self,
        pipeline: PipelineDescription,
        data: Path,
        *,
        flow_control: FlowControlSettings | None = None,
        options: EngineOptions | None = None,
        clock: Clock | None = None,
        storage: Callable[[int], LogStorage] | None = None,
        share: Share | None = None,
    ) -> None:
        """`storage` gives each partition's storage by its number; without it `options` decide.

        `share` is what of the pipeline runs in this process; without one, all of it.
        """
        self._options = options or EngineOptions()
        check(pipeline, runs_anywhere=self._options.storage == "kafka")
        check_interpreter()
        self.pipeline = pipeline
        self._flow_control = flow_control or FlowControlSettings()
        self._clock = clock or SystemClock()
        self._folder = DataFolder(data)
        self._storage = storage or self._storage_of_options
        self._kafka: KafkaLog | None = None
        self._share = share or Share(
            partitions=tuple(range(1, pipeline.partitions + 1)), sources=tuple(s.name for s in pipeline.sources)
        )
        self._rejects = RejectFolder(self._folder.rejects)
        self._replayer: Replayer | None = None
        self._partitions: dict[int, Partition] = {}
        # Of each partition while not all are open; replaced as a whole.
        self._opening: Mapping[int, Opening] = {}
        self._wired = Wired()
        key = None if pipeline.key is None else key_text(pipeline.key)
        self._intake = Intake(self._partitions, pipeline.partitions, key, pipeline.value_type)
        self._delivery_threads: list[threading.Thread] = []
        self._ticker: Ticker | None = None
        self._monitor: BackPressureMonitor | None = None
        self._observer: BatchObserver | None = None
        self._gateway: Callable[[], GatewaySnapshot] | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="penstock-supervisor", daemon=True)
        self._configuring = threading.Lock()
        # Of all exporters that somebody holds, those of earlier runs included. Guarded by _configuring.
        self._pauses: dict[str, Pause] = {}
        # Guarded by _wake, which also tells the supervisor to look.
        self._wake = threading.Condition()
        self._state = EngineState.STARTING
        self._failure: TaskFailedError | None = None
        # An input that ends too early: the run fails by it once all that came before has got through.
        self._damage: TaskFailedError | None = None
        self._stop_requested = False
        self._drain = True
        # The tasks in front of the log, while the end of a run is awaited that ends by itself.
        self._awaited: Sequence[Subtask] = ()
        # Whether the partitions may still be written to; without it nothing is stored at their end.
        self._has_right = True
        self._ended = threading.Event()
        self._started_wall_ns = self._clock.wall_ns()

    # -- life ---

    def start(self) -> Self:
        """Opens the data folder and starts every task. Raises `PenstockError` and leaves nothing behind."""
        self._claim_folder()
        try:
            self._open_partitions()
            self._observer = self._made_observer()
            self._wired = Wiring(
                self.pipeline,
                self._share,
                self._partitions,
                self._receivers(),
                self._folder,
                self._options,
                self._clock,
                self._on_failed,
                self._observer,
            ).build()
            self._pauses = dict(self._kept_pauses())
            for name in self._pauses.keys() & self._wired.exporters.keys():
                self._set_exporter_pause(name, self._pauses[name])
            for partition in self._partitions.values():
                partition.warn_of_removed_exporters()
                partition.opened()
        except BaseException:
            self._close_all()
            raise
        self._monitor = BackPressureMonitor(
            self._options.back_pressure,
            self._clock,
            self._wired.vertices,
            self._wired.subtasks,
            Markers(held_back=HELD_BACK),
            is_over=lambda: self._state in (EngineState.FINISHED, EngineState.FAILED),
        )
        self._ticker = Ticker(
            list(self._partitions.values()),
            self._clock,
            self._folder.path,
            free_space_bytes=self._options.free_space_bytes,
        )
        self._on_wired()
        with self._wake:
            self._state = EngineState.RUNNING
        self._ticker.start()
        for number, delivery in self._wired.deliveries.items():
            name = f"delivery/{number}"
            thread = threading.Thread(target=self._deliver, args=(name, delivery), name=f"penstock-{name}", daemon=True)
            self._delivery_threads.append(thread)
            thread.start()
        # Downstream first, so that nobody waits for a consumer that does not run yet.
        for subtask in reversed(self._wired.of_kinds(VertexKind.PROCESSOR, VertexKind.EXPORTER)):
            subtask.start()
        self._start_front()
        self._replayer = self._made_replayer()
        if self._replayer is not None:
            self._replayer.start()
        self._monitor.start()
        self._intake.open()
        self._supervisor.start()
        return self

    def _deliver(self, name: str, delivery: Delivery | TakingIn) -> None:
        try:
            delivery.run()
        except BaseException as error:
            log.exception("task %s failed", name)
            self._on_failed(name, error)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the engine has ended; False when `timeout` seconds passed before.

        Raises `TaskFailedError` when a task stopped the run.
        """
        if not wait_for(self._ended, timeout):
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def stop(self, *, drain: bool = True) -> None:
        """Ends the engine and waits for it: sources first, then everything behind, for at most the drain time.

        Without `drain`, and after that time, tasks end where they stand; all they had is in the log or read again.
        """
        with self._wake:
            if self._state is EngineState.STARTING:
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

    # Who runs a share of the pipeline, a worker process or an instance with one of its partitions, does these its own
    # way.

    def _claim_folder(self) -> None:
        options = self._options
        self._folder.open(self.pipeline.name, self.pipeline.partitions, options.storage)
        if options.storage == "kafka":
            try:
                self._kafka = open_kafka_log(options.kafka, self.pipeline.name, self.pipeline.partitions, self._folder)
            except BaseException:
                self._folder.close()
                raise

    def _release_folder(self) -> None:
        self._folder.close()

    def _made_observer(self) -> BatchObserver | None:
        return None if self.pipeline.observer is None else self.pipeline.observer(self.pipeline.name)

    def _close_observer(self, observer: BatchObserver) -> None:
        observer.close()

    def _kept_overrides(self) -> Mapping[int, Override]:
        """What was set by hand before and goes on."""
        return OverrideFile(self._folder.path).read() if self._flow_control.persist_overrides else {}

    def _keep_overrides(self, overrides: Mapping[int, Override | None]) -> None:
        if self._flow_control.persist_overrides:
            OverrideFile(self._folder.path).write({n: kept for n, kept in overrides.items() if kept is not None})

    def _on_wired(self) -> None:
        """Everything stands and nothing runs yet."""

    def _kept_pauses(self) -> Mapping[str, Pause]:
        return PauseFile(self._folder.path).read()

    def _made_replayer(self) -> Replayer | None:
        return Replayer(
            self._rejects, self.pipeline, self._partitions, self._wired.exporters, self._clock, self._on_failed
        )

    def _receivers(self) -> Mapping[int, Receiver]:
        """All partitions, as those that send messages see them."""
        return self._partitions

    def _start_front(self) -> None:
        if self._wired.front is not None:
            self._wired.front.prepare({n: p.source_progress for n, p in self._partitions.items()}, {})
            self._wired.front.start()

    def _open_partitions(self) -> None:
        names = [exporter.name for exporter in self.pipeline.exporters]
        kept = self._kept_overrides()
        self._opening = {number: Opening(number, None) for number in self._share.partitions}
        for number in self._share.partitions:
            storage = self._storage(number)
            self._opening = {**self._opening, number: Opening(number, storage)}
            self._partitions[number] = Partition(
                number,
                storage,
                self._clock,
                flow_control=self._flow_control,
                exporters=names,
                has_processor=self.pipeline.processor is not None,
                progressed=self._on_progress,
                retained_records=self._options.retained_records,
                always_allowed=self.pipeline.always_allowed,
                override=kept.get(number),
            )
        self._opening = {}

    def _storage_of_options(self, number: int) -> LogStorage:
        if self._kafka is not None:
            return self._kafka.storage(number)
        return self._folder.storage(number, self._options.storage, self._options.synchronous)

    # -- supervision ---

    def _on_failed(self, task: str, error: BaseException) -> None:
        text = str(error) if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
        failure = TaskFailedError(f"task {task} stopped the run: {text}")
        failure.__cause__ = error
        with self._wake:
            if isinstance(error, DamagedInputError):
                self._damage = self._damage or failure
            else:
                self._failure = self._failure or failure
            self._wake.notify_all()

    def _on_progress(self) -> None:
        # Called for every commit: only the end of a run is interested, and nothing more comes from in front then.
        if self._awaited and all(subtask.is_over for subtask in self._awaited):
            with self._wake:
                self._wake.notify_all()

    def _supervise(self) -> None:
        try:
            finished = self._await_end()
            with self._wake:
                self._state = EngineState.STOPPING
                drain = self._drain and self._failure is None
            # What comes from outside is over first, so that there is an end to what follows.
            self._intake.close(_INTAKE_CLOSE_NS)
            if self._replayer is not None:
                self._replayer.stop()
            if drain:
                self._ending().drain(0 if finished else self._options.drain_timeout_ns)
            self._cancel_all()
        except BaseException as error:
            log.exception("the supervisor failed")
            self._failure = self._failure or TaskFailedError(f"the engine failed: {error!r}")
        finally:
            try:
                self._close_all()
            finally:
                with self._wake:
                    self._failure = self._failure or self._damage
                    self._state = EngineState.FAILED if self._failure is not None else EngineState.FINISHED
                self._ended.set()

    def _await_end(self) -> bool:
        """True when everything that bounded sources brought is read, processed and acknowledged.

        Behind a damaged input the others end where they are, or who never ends would keep the damage from being said.
        """
        in_front = self._await_in_front()
        with self._wake:
            while not self._stop_requested and self._failure is None:
                if self._damage is not None:
                    if not in_front or self._wired.front is None:
                        return False
                    self._wired.front.stop_sources()
                if in_front and all(s.is_over for s in in_front) and self._has_replayed() and self._is_quiescent():
                    return True
                # Ends of tasks are not told; they are looked for.
                self._wake.wait(END_LOOK_SECONDS if in_front else 1.0)
            return False

    def _has_replayed(self) -> bool:
        return self._replayer is None or self._replayer.is_idle

    def _await_in_front(self) -> Sequence[Subtask]:
        """From now on progress is told when these tasks are over; none where the run does not end by itself."""
        self._awaited = () if self._options.run_forever else self._wired.of_kinds(*IN_FRONT)
        return self._awaited

    def _is_quiescent(self) -> bool:
        """Nothing is on its way anywhere: seen twice with nothing written between, for partitions talk."""
        partitions = self._partitions.values()
        before = [partition.last_written for partition in partitions]
        return all(p.is_quiescent() for p in partitions) and before == [p.last_written for p in partitions]

    def _ending(self) -> Ending:
        return Ending(self._wired, self._partitions.values(), self._clock, lambda: self._failure is not None)

    def _cancel_all(self) -> None:
        """Ends whatever still runs."""
        self._ending().cancel(self._delivery_threads)

    def _close_all(self) -> None:
        if self._replayer is not None:
            self._replayer.stop()
            self._replayer.join(_REPLAY_JOIN_SECONDS)
        if self._monitor is not None:
            self._monitor.stop()
        if self._ticker is not None:
            self._ticker.stop()
        try:
            for partition in self._partitions.values():
                partition.close(stores_riders=self._has_right)
            self._release_folder()
        finally:
            if self._observer is not None:
                self._close_observer(self._observer)

    # -- the door ---

    @property
    def data_folder(self) -> Path | None:
        """Where what others keep of it may stand beside its log; None where nothing outlives the process."""
        return None if self._options.storage == "memory" else self._folder.path

    def snapshot(self) -> EngineSnapshot:
        """Everything an outsider may see, at this moment."""
        disk_free = None if self._ticker is None else self._ticker.disk_free_bytes
        partitions = self._partitions.values()
        # Some partitions alone would look like all.
        is_starting = self._state is EngineState.STARTING
        snapshot = EngineSnapshot(
            pipeline=self.pipeline.name,
            job_id=stable_id(self.pipeline.name),
            state=self._state,
            failure=None if (failure := self._failure or self._damage) is None else str(failure),
            started_wall_ns=self._started_wall_ns,
            taken_wall_ns=self._clock.wall_ns(),
            taken_monotonic_ns=self._clock.monotonic_ns(),
            vertices=tuple(self._wired.vertices),
            edges=tuple(self._wired.edges),
            partitions=() if is_starting else tuple(p.snapshot(disk_free_bytes=disk_free) for p in partitions),
            tasks=() if is_starting else tuple(subtask.snapshot() for subtask in self._wired.subtasks),
            observed={} if self._observer is None else self._observer.counts(),
            gateway=None if self._gateway is None else self._gateway(),
            rejects=self._rejects.counts(),
            has_gil=has_gil(),
            closed=tuple(opening.seen() for opening in self._opening.values()),
        )
        return snapshot if is_starting or self._monitor is None else self._monitor.completed(snapshot)

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        """The back pressure of one vertex; on demand, being looked at is what starts a measurement."""
        return self._started_monitor().look_at(vertex_id)

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """The stacks of a vertex's subtasks as a tree; being looked at is what has them gathered."""
        return self._started_monitor().flame_graph(vertex_id)

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Starts a fresh measurement of a vertex; False when one is under way or none can be."""
        return self._started_monitor().sample(vertex_id)

    def _started_monitor(self) -> BackPressureMonitor:
        if self._monitor is None:
            raise ConfigurationError("the engine has not started")
        return self._monitor

    def attach_gateway(self, snapshot: Callable[[], GatewaySnapshot]) -> None:
        """From now on snapshots tell of this gateway; `snapshot` may be called from any thread, also when it closed."""
        self._gateway = snapshot

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Writes values from outside as user commands, each to its key's partition or to the one that is named.

        Returns once they are durable, or with the refusal of a limit, and then nothing was written. Raises
        `WrongRecordError` and `WriteFailedError`.
        """
        check_takes_records(self._state)
        return self._intake.write(values, partition=partition)

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        """The settings in force, by partition; raises `NotReadyError` as all about limits until it has started."""
        check_ready(self._state)
        return {number: partition.gate.settings for number, partition in self._partitions.items()}

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        """What each partition's request limiter has come to; None while it is disabled."""
        check_ready(self._state)
        return {n: partition.gate.request_limiter_state() for n, partition in self._partitions.items()}

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        """The settings that every partition starts with and goes back to."""
        return self._flow_control

    def flow_overrides(self) -> Mapping[int, Override | None]:
        """What was set by hand, by partition; None where the configured settings hold."""
        check_ready(self._state)
        return {number: partition.in_force.override for number, partition in self._partitions.items()}

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        """Sets the limits of the named partitions by hand, at once; after `ttl_ns` the configured ones come back.

        Raises `ConfigurationError`, or `NotReadyError` unless it runs, and changes none.
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
        with self._configuring:
            # Before anything changes: what cannot be kept is not done by half.
            self._keep_overrides({**self.flow_overrides(), **overrides})
            for number, override in overrides.items():
                self._partitions[number].override(override, by=by)

    def throttling_episodes(self) -> tuple[Episode, ...]:
        """The throttling episodes of all partitions by their start; those that still run have no end."""
        check_ready(self._state)
        episodes = (episode for partition in self._partitions.values() for episode in partition.gate.episodes())
        return by_start(episodes)

    def limit_changes(self) -> tuple[LimitChanged, ...]:
        """The last changes of the write limits of all partitions with their reasons, oldest first."""
        changes = (change for partition in self._partitions.values() for change in partition.gate.limit_changes())
        return by_time(changes)

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        """Holds a record exporter where it is, or lets it go on; over restarts, too.

        `soft`: it exports, and what it has acknowledged stays where it is. Raises `ConfigurationError` and changes
        nothing.
        """
        self._exporter(name)
        pause = Pause(soft=soft, since_wall_ns=self._clock.wall_ns(), by=by) if paused else None
        with self._configuring:
            pauses = {**self._pauses, name: pause}
            kept = {exporter: found for exporter, found in pauses.items() if found is not None}
            PauseFile(self._folder.path).write(kept)
            self._pauses = kept
            self._set_exporter_pause(name, pause)

    def _set_exporter_pause(self, name: str, pause: Pause | None) -> None:
        for task in self._exporter(name):
            task.set_pause(pause)

    def pace_exporter(self, name: str, records_per_second: float | None) -> None:
        """Limits how fast each partition's instance of an exporter hands records over; None takes it away."""
        for task in self._exporter(name):
            task.set_pace(records_per_second)

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
        count = self._rejects.set_out(task, self._clock.wall_ns())
        if self._replayer is not None:
            self._replayer.look()
        return count

    def _exporter(self, name: str) -> list[ExportingTask]:
        if name not in self._wired.exporters:
            raise ConfigurationError(f"there is no exporter {name!r}")
        return self._wired.exporters[name]
