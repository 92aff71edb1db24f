"""One partition of a shared pipeline with all that runs for it: an engine over a share of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from engine.core.clock import Clock
from engine.core.errors import DataFolderError, TaskFailedError
from engine.core.observing import BatchObserver
from engine.core.pause import Pause
from engine.core.snapshot import ClosedSnapshot, EngineState
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings
from engine.log.storage import LogStorage
from engine.options import EngineOptions
from engine.partition.partition import Partition
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Receiver
from engine.runtime.engine import Engine
from engine.runtime.kept import KeptElsewhere
from engine.runtime.replaying import Replayer, Replays
from engine.runtime.share import Share
from engine.sources.protocol import partition_fed_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a partition is opened with, besides its pipeline."""

    number: int
    data: Path
    flow_control: FlowControlSettings
    options: EngineOptions
    clock: Clock
    storage: Callable[[int], LogStorage]
    # Of all partitions, as those that send messages see them; not asked for where messages travel in the log.
    receivers: Mapping[int, Receiver]
    # What was set by hand and goes on.
    override: Override | None
    pauses: Mapping[str, Pause]
    paces: Mapping[str, float | None]
    # Rejects that this partition's owner shall try again.
    handed: Replays
    # The instance's own, which outlives the partition.
    observer: BatchObserver | None


class Tenant(Engine):
    """Opens its partition at `start`, on the caller's thread, and runs it until it is stopped or fails; one use.

    Its sources are those that belong to its partition: what they read goes nowhere else. A failure ends it and nobody
    besides.
    """

    def __init__(self, pipeline: PipelineDescription, lease: Lease, ended: Callable[[], None]) -> None:
        """`ended` is called when it has ended by itself or was stopped."""
        self._lease = lease
        self._told_ended = ended
        self._leaving = Lock()
        # Guarded by the lock.
        self._is_leaving = False
        self._made: LogStorage | None = None
        super().__init__(
            pipeline,
            lease.data,
            flow_control=lease.flow_control,
            options=replace(lease.options, run_forever=True),
            clock=lease.clock,
            storage=self._make_storage,
            kept=KeptElsewhere({} if lease.override is None else {lease.number: lease.override}, lease.pauses),
            share=Share(
                partitions=(lease.number,),
                sources=tuple(s.name for s in pipeline.sources if partition_fed_by(s.source) == lease.number),
                lane=lease.number - 1,
                lanes=pipeline.partitions,
                is_closed=True,
            ),
        )

    @property
    def number(self) -> int:
        return self._lease.number

    @property
    def partition(self) -> Partition:
        """Once it is open."""
        return self._partitions[self.number]

    @property
    def failure(self) -> TaskFailedError | None:
        """What it ended by; None where it was stopped, and while it runs."""
        return self._life.failure

    @property
    def has_ended(self) -> bool:
        return self._life.has_ended

    def leave(self, *, has_right: bool) -> None:
        """Has an opening broken off, and says whether there is still the right to write; `stop` does the rest."""
        with self._leaving:
            self._is_leaving = True
            self._has_right = self._has_right and has_right
            storage = self._made
        if storage is not None and (self.state is EngineState.STARTING or not has_right):
            storage.stop()

    def _make_storage(self, number: int) -> LogStorage:
        storage = self._lease.storage(number)
        with self._leaving:
            self._made = storage
            is_leaving = self._is_leaving
        if is_leaving:
            storage.stop()
        return storage

    def opening(self) -> ClosedSnapshot | None:
        """How far it is while it is being opened."""
        opening = self._opening.get(self.number)
        return None if opening is None else opening.seen()

    # -- what differs from an engine of its own ---

    def _claim_folder(self) -> None:
        """The instance holds it for all."""

    def _release_folder(self) -> None:
        """That too."""

    def _made_observer(self) -> BatchObserver | None:
        return self._lease.observer

    def _close_observer(self, observer: BatchObserver) -> None:
        """It is the instance's."""

    def _receivers(self) -> Mapping[int, Receiver]:
        return self._lease.receivers

    def _made_replayer(self) -> Replayer | None:
        return Replayer(
            self._lease.handed,
            self.pipeline,
            self._partitions,
            self._wired.exporters,
            self._clock,
            self._on_failed,
            only=self.number,
        )

    def _on_wired(self) -> None:
        strange = [
            source.name
            for source in self.pipeline.sources
            if source.name not in self._share.sources
            and (stored := self.partition.source_progress.get(source.name)) is not None
            and stored.offset
        ]
        if strange:
            raise DataFolderError(
                f"partition {self.number} holds what {strange[0]} brought, which belongs to another partition: where "
                "instances share a log, each partition of a topic feeds its own; begin a new log by another "
                "data.kafka.topicPrefix"
            )
        for name, records_per_second in self._lease.paces.items():
            self._owners.pace(name, records_per_second)

    def _supervise(self) -> None:
        super()._supervise()
        self._told_ended()

    # -- what the instance orders ---

    def enforce(self, override: Override | None, pauses: Mapping[str, Pause]) -> None:
        """What was set by hand shall hold here, and nothing else of this kind. One caller at a time."""
        if override is not None and override.is_void(self._flow_control, self._clock.wall_ns()):
            override = None
        if override != self.partition.in_force.override:
            self.partition.override(override, by=None if override is None else override.by)
        self._owners.hold(pauses)
