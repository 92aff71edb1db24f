"""One worker's share of an engine: its partitions, its sources, and the way to the others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from engine.core.pause import Pause
from engine.core.unit import ProgressBySource
from engine.flow.gate import Refusal
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings
from engine.options import EngineOptions
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Receiver
from engine.runtime.engine import END_LOOK_SECONDS, Engine
from engine.runtime.intake import Reserved, Written
from engine.runtime.kept import KeptElsewhere
from engine.runtime.replaying import Replayer, ReplayStanding
from engine.runtime.share import Share
from engine.workers.epoch import Epoch, RemoteGate
from engine.workers.frames import BufferFrame, CreditFrame, Frame, MessagesFrame
from engine.workers.link import Link
from engine.workers.process import WorkerLost
from engine.workers.reception import Reception
from engine.workers.remote_partition import RemotePartition, Road

# How far each partition has stored each source.
Progress = Mapping[int, ProgressBySource]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOrder:
    """What a worker is to run, in plain data."""

    worker: int
    share: Share
    # The worker of every partition.
    owners: Mapping[int, int]
    data: Path
    options: EngineOptions
    flow_control: FlowControlSettings
    # What was set by hand and goes on.
    overrides: Mapping[int, Override]
    paused: Mapping[str, Pause]
    paces: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """Whether there is anything left to do here; see `Engine._is_quiescent`."""

    is_front_over: bool
    is_quiescent: bool
    last_written: tuple[int, ...]

    @property
    def is_done(self) -> bool:
        return self.is_front_over and self.is_quiescent


class Part(Engine):
    """An engine without a will of its own: the parent prepares, starts and halts its front, and says when to end.

    The parent calls one at a time: `connect`, `prepare`, `flow`, `halt`.
    """

    def __init__(
        self, pipeline: PipelineDescription, order: PartOrder, caught_up: Callable[[], None] = lambda: None
    ) -> None:
        """`caught_up` is called when nothing is left to do here, as far as this worker can see."""
        super().__init__(
            pipeline,
            order.data,
            flow_control=order.flow_control,
            options=order.options,
            share=order.share,
            kept=KeptElsewhere(order.overrides, order.paused),
        )
        self._order = order
        self._caught_up = caught_up
        self._roads = {worker: Road() for worker in set(order.owners.values()) - {order.worker}}
        self._reception = Reception(self._partitions, self._on_failed)
        # What the parent had admitted, by the number it gave; guarded by the lock.
        self._reserving = Lock()
        self._reserved: dict[int, Reserved] = {}
        # What was in the log at the last look behind a damaged input.
        self._written_at_damage: tuple[int, ...] | None = None
        # None while the front stands still. Replaced as a whole; the links' readers look at it.
        self._epoch: Epoch | None = None

    # -- what differs from an engine of its own ---

    def _claim_folder(self) -> None:
        """The parent holds it for all."""

    def _receivers(self) -> Mapping[int, Receiver]:
        elsewhere = {
            number: RemotePartition(number, self._roads[worker])
            for number, worker in self._order.owners.items()
            if worker != self._order.worker
        }
        return {**self._partitions, **elsewhere}

    def _made_replayer(self) -> Replayer:
        return Replayer(
            self._rejects,
            self.pipeline,
            self._partitions,
            self._wired.exporters,
            self._clock,
            self._on_failed,
            is_alone=False,
        )

    def replay_standing(self) -> ReplayStanding | None:
        """How far this worker is with the rejects that were set out; the parent deletes what all have tried again."""
        return None if self._replayer is None else self._replayer.standing

    def _on_wired(self) -> None:
        for name, records_per_second in self._order.paces.items():
            self._owners.pace(name, records_per_second)

    def _start_front(self) -> None:
        """That is for `prepare` and `flow`."""

    def _await_end(self) -> bool:
        look_seconds = END_LOOK_SECONDS if self._await_in_front() else None
        told: tuple[int, ...] | None = None
        life = self._life
        while not life.is_end_wanted:
            self._await_what_came_before_damage()
            with life.changed:
                standing = None if look_seconds is None else self._done_with()
                if standing == told and not life.is_end_wanted:
                    life.changed.wait(look_seconds if life.damage is None else END_LOOK_SECONDS)
                    continue
            # The parent is spoken to without a lock in hand.
            told = standing
            if told is not None:
                self._caught_up()
        return False

    def _await_what_came_before_damage(self) -> None:
        """An input that ends too early ends the run as soon as nothing is left to do in this worker's partitions."""
        partitions, damage = self._partitions.values(), self._life.damage
        if damage is not None and all(partition.is_quiescent() for partition in partitions):
            # Seen twice: a part of it may have been on its way from the source's task to the log.
            if self._written_at_damage == (written := tuple(partition.last_written for partition in partitions)):
                self._life.fail(damage)
            self._written_at_damage = written

    def _done_with(self) -> tuple[int, ...] | None:
        """What was written, where nothing of it is left to do."""
        report = self.report()
        return report.last_written if report.is_done else None

    def _cancel_all(self) -> None:
        self._reception.close()
        for road in self._roads.values():
            road.close()
        super()._cancel_all()

    # -- what the parent orders ---

    def connect(self, worker: int, connection: socket.socket) -> None:
        """Another worker is to be reached over this socket from now on."""
        link = Link(worker, connection, self._received)
        self._roads[worker].put(link)
        link.start()

    def prepare(self, epoch: int, progress: Progress) -> None:
        """Makes the front anew and starts all but its sources; `progress` is that of all partitions everywhere."""
        front = self._wired.front
        if front is None:
            return
        beginning = Epoch(epoch)
        gates = {
            number: RemoteGate(number, self._roads[worker].link, beginning)
            for number, worker in self._order.owners.items()
            if worker != self._order.worker
        }
        front.prepare(progress, gates)
        beginning.opened(front.gates, front.pools)
        self._epoch = beginning
        front.start_behind_sources()

    def flow(self) -> None:
        """Starts the sources: everybody is prepared."""
        if self._wired.front is not None:
            self._wired.front.start_sources()

    def halt(self) -> Progress:
        """Ends the front where it stands, and says how far its partitions have stored the sources."""
        self._epoch = None
        if self._wired.front is not None:
            self._wired.front.halt()
        return self.progress()

    def progress(self) -> Progress:
        return {number: partition.source_progress for number, partition in self._partitions.items()}

    def report(self) -> PartReport:
        front, partitions = self._wired.front, self._partitions.values()
        return PartReport(
            is_front_over=front is None or front.is_over,
            is_quiescent=all(partition.is_quiescent() for partition in partitions),
            last_written=tuple(partition.last_written for partition in partitions),
        )

    def set_overrides(self, overrides: Mapping[int, Override | None], *, by: str | None) -> bool:
        """Limits set by hand, or with None the configured ones. True: they are in force."""
        self._override(overrides, by=by)
        return True

    def set_exporter_pause(self, name: str, pause: Pause | None) -> None:
        self._owners.pause(name, pause)

    # -- writes from outside of which other workers have a part ---

    def partitions_of(self, values: Sequence[Any]) -> list[int]:
        return self._intake.partitions_of(values)

    def reserve(self, number: int, values: Sequence[Any]) -> Refusal | None:
        """Admits the values; the parent then has them written, or given back, by this number."""
        answer = self._intake.reserve(values)
        if isinstance(answer, Refusal):
            return answer
        with self._reserving:
            self._reserved[number] = answer
        return None

    def write_reserved(self, number: int) -> Written:
        return self._intake.write_reserved(self._taken(number))

    def give_back(self, number: int) -> None:
        self._intake.give_back(self._taken(number))

    def _taken(self, number: int) -> Reserved:
        with self._reserving:
            reserved = self._reserved.pop(number, None)
        if reserved is None:
            raise WorkerLost("what was admitted was admitted by a process that is dead")
        return reserved

    # -- what comes from the other workers ---

    def _received(self, link: Link, frame: Frame) -> None:
        epoch = self._epoch
        match frame:
            case BufferFrame():
                if epoch is not None and epoch.number == frame.epoch:
                    epoch.arrived(link, frame)
            case CreditFrame():
                if epoch is not None and epoch.number == frame.epoch:
                    epoch.given_back(frame)
            case MessagesFrame():
                self._reception.take(link, frame)
