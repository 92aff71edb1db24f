"""From a pipeline's description to tasks: vertices, edges, subtasks, and the channels between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.core.clock import Clock
from engine.core.errors import ConfigurationError
from engine.core.identity import stable_id
from engine.core.observing import BatchObserver
from engine.core.snapshot import EdgeSnapshot, VertexKind, VertexSnapshot
from engine.exporting.task import ExportingTask, ExportRules
from engine.options import EngineOptions
from engine.partition.partition import Partition
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Delivery, Receiver
from engine.processing.taking_in import TakingIn
from engine.processing.task import ProcessingTask
from engine.runtime.data_folder import DataFolder
from engine.runtime.front import Front
from engine.runtime.share import Share
from engine.sources.protocol import is_of_this_machine
from engine.tasks.subtask import Failed, Subtask
from engine.writing.reject_folder import RejectFolder
from engine.writing.rejects import RejectFile
from engine.writing.set_aside import RecordsAside, behind


@dataclass(slots=True)
class Wired:
    """All tasks of a running engine, by what they do, upstream first."""

    vertices: list[VertexSnapshot] = field(default_factory=list)
    edges: list[EdgeSnapshot] = field(default_factory=list)
    subtasks: list[Subtask] = field(default_factory=list)
    # None for a pipeline without sources.
    front: Front | None = None
    processors: list[ProcessingTask] = field(default_factory=list)
    exporters: dict[str, list[ExportingTask]] = field(default_factory=dict)
    # What carries messages between partitions: out of the outbox of each or, where it has one, out of its inbox.
    deliveries: dict[int, Delivery | TakingIn] = field(default_factory=dict)

    def of_kinds(self, *kinds: VertexKind) -> list[Subtask]:
        return [subtask for subtask in self.subtasks if subtask.vertex.kind in kinds]


class Wiring:
    """Builds the tasks of a share of `pipeline` over its `partitions`; one use. The front is still to be prepared."""

    def __init__(
        self,
        pipeline: PipelineDescription,
        share: Share,
        partitions: Mapping[int, Partition],
        receivers: Mapping[int, Receiver],
        folder: DataFolder,
        options: EngineOptions,
        clock: Clock,
        failed: Failed,
        observer: BatchObserver | None = None,
    ) -> None:
        """`receivers` are all partitions, those in other processes included."""
        self._pipeline = pipeline
        self._share = share
        self._partitions = partitions
        self._receivers = receivers
        self._folder = folder
        self._options = options
        self._clock = clock
        self._failed = failed
        self._observer = observer
        self._wired = Wired()

    def build(self) -> Wired:
        if self._pipeline.sources:
            front = Front(
                self._pipeline,
                self._partitions,
                self._share,
                self._folder,
                self._options,
                self._clock,
                self._failed,
            )
            self._wired.front = front
            self._wired.vertices += front.vertices
            self._wired.edges += front.edges
            self._wired.subtasks += front.subtasks
        source_of_log = self._wired.vertices[-1] if self._wired.vertices else None
        if self._pipeline.processor is not None:
            source_of_log = self._processors(source_of_log)
        self._exporters(source_of_log)
        return self._wired

    # -- behind the log ---

    def _processors(self, before: VertexSnapshot | None) -> VertexSnapshot:
        spec = self._pipeline.processor
        assert spec is not None
        vertex = self._vertex(spec.name, VertexKind.PROCESSOR)
        self._wired.vertices.append(vertex)
        if before is not None:
            self._wired.edges.append(
                EdgeSnapshot(source_id=before.vertex_id, target_id=vertex.vertex_id, ship_strategy="LOG")
            )
        aside = self._aside(spec.name, {n: p.recovered.processed_position for n, p in self._partitions.items()})
        for subtask, partition in zip(self._subtasks(vertex), self._partitions.values(), strict=True):
            task = ProcessingTask(
                partition,
                self._pipeline.partitions,
                spec.factory,
                subtask,
                self._clock,
                aside=aside(partition.number),
                on_error=spec.on_error,
                attempts=spec.attempts,
                batch_records=self._options.processing_batch_records,
                outbox_records_max=self._options.outbox_records_max,
                observer=self._observer,
            )
            subtask.body = task.run
            self._wired.processors.append(task)
            if partition.inbox is not None:
                self._wired.deliveries[partition.number] = TakingIn(partition)
                continue
            delivery = Delivery(partition, self._receivers)
            partition.on_messages = delivery.put
            self._wired.deliveries[partition.number] = delivery
        return vertex

    def _exporters(self, before: VertexSnapshot | None) -> None:
        for spec in self._pipeline.exporters:
            vertex = self._vertex(spec.name, VertexKind.EXPORTER)
            self._wired.vertices.append(vertex)
            if before is not None:
                self._wired.edges.append(
                    EdgeSnapshot(source_id=before.vertex_id, target_id=vertex.vertex_id, ship_strategy="LOG")
                )
            tasks = self._wired.exporters[spec.name] = []
            rules = ExportRules(
                wanted=spec.filter,
                retry=spec.retry,
                on_error=spec.on_error,
                attempts=spec.attempts,
                batch_records=self._options.export_batch_records,
            )
            stored = {
                number: partition.add_exporter(
                    spec.name, from_end=spec.start == "end", pace_per_second=spec.max_records_per_second
                )
                for number, partition in self._partitions.items()
            }
            aside = self._aside(spec.name, {number: place.position for number, place in stored.items()})
            for subtask, partition in zip(self._subtasks(vertex), self._partitions.values(), strict=True):
                task = ExportingTask(
                    partition,
                    self._pipeline.partitions,
                    partition.exporters[spec.name],
                    stored[partition.number],
                    spec.factory,
                    rules,
                    aside(partition.number).keep,
                    subtask,
                    self._clock,
                )
                subtask.body = task.run
                tasks.append(task)

    def _aside(self, task: str, passed: Mapping[int, int]) -> Callable[[int], RecordsAside]:
        """Where the rejects of a task go, by partition; those behind what each is passed up to come again."""
        folder = RejectFolder(self._folder.rejects)
        if self._options.storage != "memory":
            folder.take_back(task, behind(passed))
        file = RejectFile(self._folder.rejects, task, self._clock)
        return lambda partition: RecordsAside(file, folder, task, partition)

    # -- graph ---

    def _vertex(self, task: str, kind: VertexKind) -> VertexSnapshot:
        return VertexSnapshot(
            vertex_id=stable_id(self._pipeline.name, task),
            task=task,
            kind=kind,
            parallelism=self._pipeline.partitions,
        )

    def _subtasks(self, vertex: VertexSnapshot) -> list[Subtask]:
        """Subtask n belongs to the n-th partition."""
        made = [
            Subtask(vertex, number - 1, self._clock, failed=partition.failing(self._failed))
            for number, partition in self._partitions.items()
        ]
        self._wired.subtasks += made
        return made


def check(pipeline: PipelineDescription, *, runs_anywhere: bool = False) -> None:
    """Raises `ConfigurationError` for a pipeline that could not run, or that another machine could not go on with."""
    if pipeline.sources and pipeline.partitions > 1 and pipeline.key is None:
        raise ConfigurationError(
            f"pipeline {pipeline.name!r} has {pipeline.partitions} partitions and needs a key that says where a "
            "record goes"
        )
    for source in pipeline.sources:
        if runs_anywhere and is_of_this_machine(source.source):
            raise ConfigurationError(
                f"source {source.name!r} cannot be with storage kafka: a pipeline in Kafka may run on any machine, and "
                "each would read its own; bring the records by the gateway or by a topic (kafka_partitions)"
            )
        source.source.check()
