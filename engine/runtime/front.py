"""What stands in front of the log in this process: sources, steps, log writers, and the channels between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from engine.core.clock import Clock
from engine.core.errors import TaskFailedError
from engine.core.identity import stable_id
from engine.core.snapshot import EdgeSnapshot, VertexKind, VertexSnapshot
from engine.core.unit import ProgressBySource, SourceProgress
from engine.options import EngineOptions
from engine.partition.partition import Partition
from engine.pipeline import KeyFunction, OnError, PipelineDescription, SourceSpec
from engine.runtime.data_folder import DataFolder
from engine.runtime.share import Share
from engine.sources.protocol import SourceStart, can_restart, source_and_split
from engine.sources.task import SourceTask
from engine.tasks.buffers import Buffer, Gate, InputGate, LocalBufferPool
from engine.tasks.outlets import BalancedOutlet, KeyedOutlet, Outlet
from engine.tasks.subtask import Failed, Subtask
from engine.transforms.task import StepTask
from engine.writing.log_writer import LogWriterTask, Unstorable
from engine.writing.reject_folder import RejectFolder
from engine.writing.rejects import Reject, RejectFile

LOG_WRITER = "log-writer"
# To blame where a value has no key.
KEY = "key"


class OnValueError:
    """What happens to a value that a task cannot use: kept aside with its place, or the end of the run."""

    def __init__(self, culprit: str, policy: OnError, rejects: RejectFile, subtask: Subtask) -> None:
        self._culprit = culprit
        self._policy: OnError = policy
        self._rejects = rejects
        self._meter = subtask.meter

    def __call__(self, buffer: Buffer, index: int, error: Exception) -> None:
        offset, text = buffer.offset_at(index), f"{type(error).__name__}: {error}"
        if self._policy == "stop":
            raise TaskFailedError(f"{self._culprit} failed at {buffer.source}:{offset} with {text}") from error
        reject = Reject(source=buffer.source, offset=offset, reason=text, value=buffer.values[index])
        self._rejects.put([reject], sync=False)
        self._meter.reject("error")

    def settle(self) -> None:
        """Call before what comes behind the value is handed on."""
        self._rejects.settle()


class Front:
    """The tasks in front of the log; all but their subtasks are made anew by each `prepare`.

    They hold nothing that the partitions do not know: whatever was on its way when they were halted is read again from
    the source. Who owns it calls its methods one at a time: prepare, start, then `stop_sources` or `halt`, and again.
    """

    def __init__(
        self,
        pipeline: PipelineDescription,
        partitions: Mapping[int, Partition],
        share: Share,
        folder: DataFolder,
        options: EngineOptions,
        clock: Clock,
        failed: Failed,
    ) -> None:
        self._pipeline = pipeline
        self._partitions = partitions
        self._share = share
        self._folder = folder
        self._options = options
        self._clock = clock
        self._failed = failed
        # One task hands on all buffers of a source.
        self._in_order = all(step.parallelism == 1 for step in pipeline.steps)
        self._own_sources = [source for source in pipeline.sources if source.name in share.sources]
        # Those whose records come here, from wherever they are read; and where what is read here may go.
        self._feeding = self._own_sources if share.is_closed else pipeline.sources
        self._targets = share.partitions if share.is_closed else tuple(range(1, pipeline.partitions + 1))

        self._source_vertices = {s.name: self._vertex(s.name, VertexKind.SOURCE, 1) for s in pipeline.sources}
        self._step_vertices = [
            self._vertex(step.name, VertexKind.TRANSFORM, step.parallelism * share.lanes) for step in pipeline.steps
        ]
        self._writer_vertex = self._vertex(LOG_WRITER, VertexKind.LOG_WRITER, pipeline.partitions)
        self._sources = [self._subtask(self._source_vertices[source.name], 0) for source in self._own_sources]
        self._steps = [
            [self._subtask(vertex, self._first_step(step.parallelism) + n) for n in range(step.parallelism)]
            if self._own_sources
            else []
            for vertex, step in zip(self._step_vertices, pipeline.steps, strict=True)
        ]
        self._writers = {
            number: Subtask(self._writer_vertex, number - 1, clock, failed=partitions[number].failing(failed))
            for number in share.partitions
        }

        # What `prepare` makes.
        self._source_tasks: list[SourceTask] = []
        self._step_tasks: list[StepTask] = []
        self._writer_tasks: list[LogWriterTask] = []
        self.gates: dict[int, InputGate] = {}
        self.pools: list[LocalBufferPool] = []

    # -- the graph ---

    @property
    def vertices(self) -> list[VertexSnapshot]:
        return [*self._source_vertices.values(), *self._step_vertices, self._writer_vertex]

    @property
    def edges(self) -> list[EdgeSnapshot]:
        # With the number of subtasks in one lane.
        steps = zip(self._step_vertices, (step.parallelism for step in self._pipeline.steps), strict=True)
        chain = [*steps, (self._writer_vertex, 0)]
        edges = [_edge(vertex, 1, *chain[0]) for vertex in self._source_vertices.values()]
        return edges + [_edge(*source, *target) for source, target in pairwise(chain)]

    @property
    def subtasks(self) -> list[Subtask]:
        """Upstream first."""
        return [*self._sources, *(subtask for step in self._steps for subtask in step), *self._writers.values()]

    def _vertex(self, task: str, kind: VertexKind, parallelism: int) -> VertexSnapshot:
        return VertexSnapshot(
            vertex_id=stable_id(self._pipeline.name, task), task=task, kind=kind, parallelism=parallelism
        )

    def _subtask(self, vertex: VertexSnapshot, index: int) -> Subtask:
        return Subtask(vertex, index, self._clock, failed=self._failed)

    def _first_step(self, parallelism: int) -> int:
        """The number of a step's first subtask in this lane."""
        return self._share.lane * parallelism

    # -- life ---

    def prepare(self, progress: Mapping[int, ProgressBySource], elsewhere: Mapping[int, Gate]) -> None:
        """Makes the tasks, from the last to the first: who sends needs to know to whom.

        `progress` is how far all partitions have stored the sources, those of other processes included; `elsewhere`
        leads to these.
        """
        stored = {
            name: places for source in self._feeding for name, places in _stored_with_splits(source, progress).items()
        }
        if self._options.storage != "memory":
            self._take_back_rejects(stored)
        self._source_tasks, self._step_tasks, self._writer_tasks, self.gates = [], [], [], {}
        pools_before = {subtask: subtask.pool for subtask in self.subtasks}
        self._make_writers(stored)
        gates: list[Gate] = [
            self.gates[number] if number in self.gates else elsewhere[number] for number in self._targets
        ]
        first_channel = self._targets[0] - 1
        producers = [len(self._own_sources), *(step.parallelism for step in self._pipeline.steps)]
        for index in reversed(range(len(self._pipeline.steps))):
            step = self._pipeline.steps[index]
            own_gates: list[Gate] = []
            for subtask in self._steps[index]:
                failed = self._on_value_error(subtask, step.on_error)
                gate = InputGate(subtask.timer)
                outlet = self._outlet(
                    subtask, gates, first_channel, pools_before[subtask], failed, step.on_error, stored
                )
                task = StepTask(step.kind.value, step.function, gate, producers[index], outlet, subtask, failed)
                subtask.body = task.run
                own_gates.append(gate)
                self._step_tasks.append(task)
            gates, first_channel = own_gates, self._first_step(step.parallelism)
        for source, subtask in zip(self._own_sources, self._sources, strict=True):
            failed = self._on_value_error(subtask, source.on_error)
            outlet = self._outlet(subtask, gates, first_channel, pools_before[subtask], failed, source.on_error, stored)
            self._make_source(source, subtask, stored, outlet, failed)
        self.pools = [subtask.pool for subtask in self.subtasks if subtask.pool is not None]

    def _take_back_rejects(self, stored: Mapping[str, Mapping[int, SourceProgress]]) -> None:
        """What was set aside behind the places from which the sources go on comes again."""
        folder = RejectFolder(self._folder.rejects)
        restartable = {source.name for source in self._feeding if can_restart(source.source)}
        begins = {name: min(place.offset for place in places.values()) for name, places in stored.items()}

        def is_read_again(entry: Mapping[str, Any]) -> bool:
            source = entry.get("source", "")
            return source_and_split(source)[0] in restartable and entry.get("offset", 0) > begins.get(source, 0)

        def is_stored_again(entry: Mapping[str, Any]) -> bool:
            source = entry.get("source", "")
            if source_and_split(source)[0] not in restartable:
                return False
            place = stored.get(source, {}).get(entry.get("partition", 0)) or SourceProgress(source, 0)
            return (entry.get("offset", 0), entry.get("extra", 0)) > (place.offset, place.extra)

        for name in (*restartable, *(step.name for step in self._pipeline.steps), KEY):
            folder.take_back(name, is_read_again)
        folder.take_back(LOG_WRITER, is_stored_again)

    def start(self) -> None:
        """Starts everybody, downstream first, so that nobody waits for a consumer that does not run yet."""
        self.start_behind_sources()
        self.start_sources()

    def start_behind_sources(self) -> None:
        for subtask in reversed(self.subtasks[len(self._sources) :]):
            subtask.start()

    def start_sources(self) -> None:
        for subtask in self._sources:
            subtask.start()

    @property
    def is_over(self) -> bool:
        """Whether everything that the sources brought is handed over to the log."""
        return all(subtask.is_over for subtask in self.subtasks)

    def stop_sources(self) -> None:
        """Ends the stream; what is on its way goes into the log."""
        for source in self._source_tasks:
            source.stop()

    def cancel(self) -> None:
        """Ends whatever still runs; blocked tasks learn it from a `StoppedError`."""
        self.stop_sources()
        for pool in self.pools:
            pool.close()
        for step in self._step_tasks:
            step.cancel()
        for writer in self._writer_tasks:
            writer.cancel()

    def halt(self) -> None:
        """Ends all tasks where they stand, and waits for it: what was on its way is read again."""
        self.cancel()
        for subtask in self.subtasks:
            subtask.join()

    # -- tasks ---

    def _make_writers(self, stored: Mapping[str, Mapping[int, SourceProgress]]) -> None:
        pipeline = self._pipeline
        # Of all processes that send here.
        lanes = 1 if self._share.is_closed else self._share.lanes
        producers = pipeline.steps[-1].parallelism * lanes if pipeline.steps else len(self._feeding)
        for number, subtask in self._writers.items():
            gate = self.gates[number] = InputGate(subtask.timer)
            writer = LogWriterTask(
                self._partitions[number],
                gate,
                producers,
                subtask,
                stored={source: by_partition[number] for source, by_partition in stored.items()},
                in_order=self._in_order,
                batch_records=max(self._options.buffer_records, 1000),
                value_type=pipeline.value_type,
                unstorable=self._on_unstorable(subtask, number),
            )
            subtask.body = writer.run
            self._writer_tasks.append(writer)

    def _make_source(
        self,
        spec: SourceSpec,
        subtask: Subtask,
        stored: Mapping[str, Mapping[int, SourceProgress]],
        outlet: Outlet,
        failed: OnValueError,
    ) -> None:
        places = [*stored[spec.name].values()]
        furthest_back = min(places, key=lambda progress: progress.offset)
        splits = {}
        for name, by_partition in stored.items():
            source, split = source_and_split(name)
            if source == spec.name and split:
                splits[split] = [*by_partition.values()]
        task = SourceTask(
            spec.name,
            spec.source,
            SourceStart(furthest_back.offset, furthest_back.cursor),
            {progress.offset for progress in places},
            outlet,
            subtask,
            failed,
            buffer_records=self._options.buffer_records,
            splits=splits,
        )
        subtask.body = task.run
        self._source_tasks.append(task)

    def _outlet(
        self,
        subtask: Subtask,
        gates: Sequence[Gate],
        first_channel: int,
        before: LocalBufferPool | None,
        failed: OnValueError,
        policy: OnError,
        stored: Mapping[str, Mapping[int, SourceProgress]],
    ) -> Outlet:
        pool = LocalBufferPool(len(gates), subtask.timer, first_channel=first_channel, before=before)
        subtask.pool = pool
        last = self._pipeline.steps[-1].name if self._pipeline.steps else None
        if last is not None and subtask.vertex.task != last:
            return BalancedOutlet(pool, gates, failed.settle)
        key_failed = self._on_value_error(subtask, policy, culprit=KEY)

        def settle() -> None:
            failed.settle()
            key_failed.settle()

        return KeyedOutlet(
            pool,
            gates,
            self._clock,
            key_text=key_text(self._pipeline.key),
            failed=failed,
            key_failed=key_failed,
            in_order=self._in_order,
            stored={source: [stored.offset for _, stored in sorted(by.items())] for source, by in stored.items()},
            part_records=self._options.buffer_records,
            settle=settle,
        )

    def _on_value_error(self, subtask: Subtask, policy: OnError, *, culprit: str | None = None) -> OnValueError:
        name = culprit or subtask.vertex.task
        return OnValueError(name, policy, RejectFile(self._folder.rejects, name, self._clock), subtask)

    def _on_unstorable(self, subtask: Subtask, partition: int) -> Unstorable:
        """What happens to values that the log cannot hold: the last task in front of it decides."""
        steps = self._pipeline.steps
        policies = {source.name: steps[-1].on_error if steps else source.on_error for source in self._pipeline.sources}
        rejects = RejectFile(self._folder.rejects, LOG_WRITER, self._clock)

        def unstorable(progress: SourceProgress, values: Sequence[tuple[object, Exception]]) -> None:
            source, offset = progress.source, progress.offset
            reasons = [f"the log cannot hold it: {type(error).__name__}: {error}" for _, error in values]
            if policies[source_and_split(source)[0]] == "stop":
                raise TaskFailedError(f"{LOG_WRITER} failed at {source}, up to {offset}: {reasons[0]}") from values[0][
                    1
                ]
            rejects.put(
                [
                    Reject(
                        source=source,
                        offset=offset,
                        reason=reason,
                        value=value,
                        partition=partition,
                        extra=progress.extra,
                    )
                    for (value, _), reason in zip(values, reasons, strict=True)
                ]
            )
            for _ in values:
                subtask.meter.reject("error")

        return unstorable


def _stored(source: SourceSpec, progress: Mapping[int, ProgressBySource]) -> dict[int, SourceProgress]:
    """How far each partition has stored a source.

    What cannot be read again goes on behind all that any partition has: none of it is dropped as known.
    """
    nothing = SourceProgress(source.name, 0)
    stored = {number: by_source.get(source.name, nothing) for number, by_source in progress.items()}
    if not can_restart(source.source):
        furthest = SourceProgress(source.name, max(progress.offset for progress in stored.values()))
        return dict.fromkeys(stored, furthest)
    return stored


def _stored_with_splits(
    source: SourceSpec, progress: Mapping[int, ProgressBySource]
) -> dict[str, dict[int, SourceProgress]]:
    """The same of all its splits that any partition knows, by the name of each."""
    names = {
        name
        for by_source in progress.values()
        for name in by_source
        if source_and_split(name)[0] == source.name and name != source.name
    }
    return {source.name: _stored(source, progress)} | {
        name: {number: by_source.get(name, SourceProgress(name, 0)) for number, by_source in progress.items()}
        for name in sorted(names)
    }


def _edge(source: VertexSnapshot, sources: int, target: VertexSnapshot, targets: int) -> EdgeSnapshot:
    same = "FORWARD" if sources == targets else "REBALANCE"
    strategy = "HASH" if target.kind is VertexKind.LOG_WRITER else same
    return EdgeSnapshot(source_id=source.vertex_id, target_id=target.vertex_id, ship_strategy=strategy)


def key_text(key: KeyFunction | None) -> Callable[[Any], str]:
    """The key of a value as text; whatever it is, equal keys give equal text."""
    if key is None:
        return lambda _: ""

    def text(value: Any) -> str:
        found = key(value)
        if isinstance(found, str):
            return found
        if found is None:
            raise ValueError("its key is null")
        return str(found)

    return text
