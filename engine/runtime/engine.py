"""The engine: a pipeline's partitions and tasks in this process, from start to end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from engine.backpressure.markers import Markers
from engine.backpressure.monitor import BackPressureMonitor
from engine.backpressure.stacks import check_interpreter
from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import DamagedInputError, PenstockError, TaskFailedError
from engine.core.observing import BatchObserver
from engine.core.readiness import check_takes_records
from engine.core.snapshot import EngineSnapshot, EngineState, VertexKind
from engine.flow.gate import Refusal
from engine.flow.settings import FlowControlSettings
from engine.flow.waiter import Waiter
from engine.log.storage import LogStorage
from engine.options import EngineOptions
from engine.partition.partition import Partition
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Delivery, Receiver
from engine.processing.taking_in import TakingIn
from engine.runtime.door import Door
from engine.runtime.ending import IN_FRONT, Ending
from engine.runtime.front import key_text
from engine.runtime.intake import Intake, Written
from engine.runtime.kafka_log import KafkaLog, open_kafka_log
from engine.runtime.kept import Kept, KeptInFolder
from engine.runtime.opening import Opening
from engine.runtime.own_partitions import OwnPartitions
from engine.runtime.replaying import Replayer
from engine.runtime.share import Share
from engine.runtime.ticker import Ticker
from engine.runtime.wiring import Wired, Wiring, check
from engine.tasks.buffers import LocalBufferPool
from engine.tasks.subtask import Subtask

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


class Engine(Door):
    """Runs a pipeline, or a share of one, in this process.

    A supervisor thread of its own watches for the three ways to end: all sources are read, processed and acknowledged;
    somebody calls `stop`; a task fails.
    """

    _owners: OwnPartitions

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
        kept: Kept | None = None,
    ) -> None:
        """`storage` gives each partition's storage by its number; without it `options` decide.

        `share` is what of the pipeline runs in this process; without one, all of it. What is set by hand is `kept` in
        the data folder, where nobody else keeps it.
        """
        super().__init__(data, flow_control=flow_control, options=options, clock=clock)
        check(pipeline, runs_anywhere=self._options.storage == "kafka")
        check_interpreter()
        self.pipeline = pipeline
        self._storage = storage or self._storage_of_options
        self._kafka: KafkaLog | None = None
        self._share = share or Share(
            partitions=tuple(range(1, pipeline.partitions + 1)), sources=tuple(s.name for s in pipeline.sources)
        )
        self._replayer: Replayer | None = None
        self._partitions: dict[int, Partition] = {}
        self._kept = kept or KeptInFolder(self._folder.path, limits=self._flow_control.persist_overrides)
        self._owners = OwnPartitions(self._share.partitions, self._partitions, self._kept)
        # Of each partition while not all are open; replaced as a whole.
        self._opening: Mapping[int, Opening] = {}
        self._wired = Wired()
        key = None if pipeline.key is None else key_text(pipeline.key)
        self._intake = Intake(self._partitions, pipeline.partitions, key, pipeline.value_type)
        self._delivery_threads: list[threading.Thread] = []
        self._ticker: Ticker | None = None
        self._monitor: BackPressureMonitor | None = None
        self._observer: BatchObserver | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="penstock-supervisor", daemon=True)
        # The tasks in front of the log, while the end of a run is awaited that ends by itself.
        self._awaited: Sequence[Subtask] = ()
        # Whether the partitions may still be written to; without it nothing is stored at their end.
        self._has_right = True

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
            self._owners.wired(self._wired.exporters)
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
            is_over=lambda: self._life.state in (EngineState.FINISHED, EngineState.FAILED),
        )
        self._owners.watched(self._monitor)
        self._ticker = Ticker(
            list(self._partitions.values()),
            self._clock,
            self._folder.path,
            free_space_bytes=self._options.free_space_bytes,
        )
        self._on_wired()
        self._life.begin()
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

    def stop(self, *, drain: bool = True) -> None:
        if self._life.state is not EngineState.STARTING:
            self._life.ask_to_end(drain=drain)
            self._life.wait_ended()

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

    def _on_wired(self) -> None:
        """Everything stands and nothing runs yet."""

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
        overrides = self._kept.overrides()
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
                override=overrides.get(number),
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
        if isinstance(error, DamagedInputError):
            self._life.damaged(failure)
        else:
            self._life.fail(failure)

    def _on_progress(self) -> None:
        # Called for every commit: only the end of a run is interested, and nothing more comes from in front then.
        if self._awaited and all(subtask.is_over for subtask in self._awaited):
            with self._life.changed:
                self._life.changed.notify_all()

    def _supervise(self) -> None:
        self._life.lead(self._run, self._close_all)

    def _run(self) -> None:
        finished = self._await_end()
        drain = self._life.stop()
        # What comes from outside is over first, so that there is an end to what follows.
        self._intake.close(_INTAKE_CLOSE_NS)
        if self._replayer is not None:
            self._replayer.stop()
        if drain:
            self._ending().drain(0 if finished else self._options.drain_timeout_ns)
        self._cancel_all()

    def _await_end(self) -> bool:
        """True when everything that bounded sources brought is read, processed and acknowledged.

        Behind a damaged input the others end where they are, or who never ends would keep the damage from being said.
        """
        in_front = self._await_in_front()
        life = self._life
        with life.changed:
            while not life.is_end_wanted:
                if life.damage is not None:
                    if not in_front or self._wired.front is None:
                        return False
                    self._wired.front.stop_sources()
                if in_front and all(s.is_over for s in in_front) and self._has_replayed() and self._is_quiescent():
                    return True
                # Ends of tasks are not told; they are looked for.
                life.changed.wait(END_LOOK_SECONDS if in_front else 1.0)
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
        return Ending(self._wired, self._partitions.values(), self._clock, lambda: self._life.failure is not None)

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

    def snapshot(self) -> EngineSnapshot:
        disk_free = None if self._ticker is None else self._ticker.disk_free_bytes
        outline = self._seen_from_here(self.pipeline.name)
        partitions = self._partitions.values()
        # Some partitions alone would look like all.
        is_starting = outline.state is EngineState.STARTING
        snapshot = replace(
            outline,
            vertices=tuple(self._wired.vertices),
            edges=tuple(self._wired.edges),
            partitions=() if is_starting else tuple(p.snapshot(disk_free_bytes=disk_free) for p in partitions),
            tasks=() if is_starting else tuple(subtask.snapshot() for subtask in self._wired.subtasks),
            observed={} if self._observer is None else self._observer.counts(),
            closed=tuple(opening.seen() for opening in self._opening.values()),
        )
        return snapshot if is_starting or self._monitor is None else self._monitor.completed(snapshot)

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        check_takes_records(self._life.state)
        return self._intake.write(values, partition=partition)

    def replay_rejects(self, task: str) -> int:
        count = super().replay_rejects(task)
        if self._replayer is not None:
            self._replayer.look()
        return count
