"""One of many instances of a pipeline: the same door as an engine, over the partitions that belong here just now."""

from __future__ import annotations

import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import ConfigurationError, NotReadyError, PenstockError, TaskFailedError
from engine.core.observing import BatchObserver
from engine.core.readiness import check_running, check_takes_records
from engine.core.snapshot import (
    EdgeSnapshot,
    EngineSnapshot,
    VertexSnapshot,
)
from engine.flow.gate import Refusal
from engine.flow.settings import FlowControlSettings
from engine.instances.board import (
    AgainRow,
    Board,
    HaltRow,
    InstanceRow,
    again_key,
    halt_key,
    packed,
)
from engine.instances.by_hand import ByHand
from engine.instances.configuration import configuration_of
from engine.instances.control import Alone, Control, ControlError
from engine.instances.here import Neighbour
from engine.instances.intake import Caller, Forward, SharedIntake
from engine.instances.membership import Membership
from engine.instances.owners import Instances
from engine.instances.presence import Presence
from engine.instances.replays import Handed, HandingOut
from engine.instances.roster import Roster, Seen
from engine.instances.tenant import Lease, Tenant
from engine.log.storage import LogStorage
from engine.options import EngineOptions
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Receiver
from engine.runtime.door import Door
from engine.runtime.front import KEY, LOG_WRITER, key_text
from engine.runtime.intake import Intake, Written
from engine.runtime.merging import merged
from engine.runtime.share import Share
from engine.runtime.wiring import Wiring, check
from engine.sources.protocol import partition_fed_by

log = logging.getLogger("penstock.instances")

# How often an instance says that it is there.
_PULSE_SECONDS = 2.0
_INTAKE_CLOSE_NS = 2 * NS_PER_SECOND
# How long it is worth waiting for the others before an answer says that they were not heard.
_HANDOVER_NS = 3 * NS_PER_SECOND
_SESSION_NS = 10 * NS_PER_SECOND


class InstanceEngine(Door):
    """Runs those partitions of one pipeline that somebody else deals out; the same to its users as `Engine`.

    Each partition is opened and closed on a thread of its own (`Attendant`), and runs as an engine over a share of one
    (`Tenant`). A supervisor thread says every few seconds that this instance is there and what it has (`Presence`), and
    ends it. A failing task fails its partition; where its policy is to stop, the instance ends, and nobody opens that
    partition until `reopen`.
    """

    _owners: Instances

    def __init__(
        self,
        pipeline: PipelineDescription,
        data: Path,
        *,
        flow_control: FlowControlSettings | None = None,
        options: EngineOptions | None = None,
        clock: Clock | None = None,
        storage: Callable[[int], LogStorage] | None = None,
        membership: Membership | None = None,
        control: Control | None = None,
        name: str | None = None,
        version: str = "",
    ) -> None:
        """`storage`, `membership` and `control` are those of `options` where they are not given.

        Without a membership the partitions are dealt by hand: by whoever calls `given`, `taken` and `lost`.
        """
        super().__init__(data, flow_control=flow_control, options=options, clock=clock)
        check(pipeline, runs_anywhere=True)
        for source in pipeline.sources:
            if partition_fed_by(source.source) is None:
                raise ConfigurationError(
                    f"source {source.name!r} cannot be shared by instances: each would read all of it; bring the "
                    "records by the gateway or by a topic with as many partitions as the pipeline"
                )
        self.pipeline = pipeline
        self._storage = storage
        self._membership = membership
        self._control: Control = control or Alone()
        self._is_given = control is not None or membership is not None or storage is not None
        kafka = self._options.kafka
        self.name = name or (kafka.instance if kafka is not None else None) or f"{socket.gethostname()}-{_short_id()}"
        self._roster = Roster(
            self._clock,
            self._lease,
            changed=self._tell_moved,
            stopped_by=self._stopped_by,
            unfit=self._fail,
            handover_ns=_HANDOVER_NS if kafka is None else kafka.handover_timeout_ns,
            patience_ns=_SESSION_NS if kafka is None else kafka.session_timeout_ns,
        )
        self._board = Board(self._clock, self)
        me = InstanceRow(
            name=self.name,
            process=uuid.uuid4().hex,
            since_wall_ns=self._started_wall_ns,
            version=version,
            configuration=configuration_of(pipeline, self._flow_control),
        )
        self._presence = Presence(
            me,
            pipeline.name,
            pipeline.partitions,
            self._board,
            self._roster,
            self._tell_others,
            self._clock,
        )
        self._by_hand = ByHand(self._board, self._roster, self._put, applied=self._life.tell_news)
        self._handing_out = HandingOut(self._rejects, pipeline, self._put, self.name, self._clock)
        self._owners = Instances(pipeline, self._flow_control, self._clock, self._board, self._roster, self._by_hand)
        key = None if pipeline.key is None else key_text(pipeline.key)
        self._intake = SharedIntake(
            self._roster.here,
            Intake(self._roster.here, pipeline.partitions, key, pipeline.value_type),
            pipeline.partitions,
            self._board,
            self._clock,
        )
        self._observer: BatchObserver | None = None
        self._receivers: Mapping[int, Receiver] = {
            number: Neighbour(number, self._roster.here) for number in range(1, pipeline.partitions + 1)
        }
        self._edges: tuple[EdgeSnapshot, ...] = ()
        self._supervisor = threading.Thread(target=self._supervise, name="penstock-supervisor", daemon=True)
        self._has_begun = False
        # Guarded by the life's lock.
        self._has_joined = False
        self._last_words: EngineSnapshot | None = None

    # -- life ---

    def start(self) -> Self:
        """Joins the others, and returns when it is known what belongs here; that is opened meanwhile.

        Raises `PenstockError` and leaves nothing behind.
        """
        self._has_begun = True
        try:
            self._claim()
            if self.pipeline.observer is not None:
                self._observer = self.pipeline.observer(self.pipeline.name)
            self._owners.vertices, self._edges = self._drawn()
            self._control.start(self._told)
            self._board.caught_up()
            self._by_hand.start()
            self._handing_out.start()
            self._presence.pulse(self._by_hand.applied)
            self._intake.open()
            if self._membership is not None:
                self._membership.start(self)
                self._await_joined()
        except BaseException:
            self._close_all()
            self._life.end()
            raise
        self._life.begin()
        self._supervisor.start()
        return self

    def _claim(self) -> None:
        options = self._options
        self._folder.open(self.pipeline.name, self.pipeline.partitions, options.storage)
        if options.storage == "kafka" and not self._is_given:
            self._open_kafka()
        elif self._storage is None:
            self._storage = lambda number: self._folder.storage(number, options.storage, options.synchronous)

    def _open_kafka(self) -> None:
        from engine.runtime.kafka_log import open_kafka_log

        kafka = open_kafka_log(
            self._options.kafka, self.pipeline.name, self.pipeline.partitions, self._folder, shared_by=self.name
        )
        self._storage = kafka.storage
        self._control = kafka.control(ControlError)
        self._membership = kafka.membership(lambda: self._roster.owned)

    def _drawn(self) -> tuple[tuple[VertexSnapshot, ...], tuple[EdgeSnapshot, ...]]:
        """The graph of the pipeline, which is the same whatever belongs here: what would run over no partition."""
        nothing = Share(partitions=(), sources=(), lanes=self.pipeline.partitions, is_closed=True)
        wired = Wiring(self.pipeline, nothing, {}, {}, self._folder, self._options, self._clock, _nobody_fails).build()
        return tuple(wired.vertices), tuple(wired.edges)

    def _await_joined(self) -> None:
        life = self._life
        with life.changed:
            life.changed.wait_for(lambda: self._has_joined or life.is_end_wanted)
            if life.failure is not None:
                raise life.failure

    def stop(self, *, drain: bool = True) -> None:
        """Gives back what belongs here and leaves. What is under way is finished by who has it next, so nothing waits.

        `drain` is for those who do not know that.
        """
        self._life.ask_to_end()
        if self._has_begun:
            self._life.wait_ended()

    # -- who owns what; `Owner` ---

    def given(self, partitions: Iterable[int]) -> None:
        self._roster.given(partitions)

    def taken(self, partitions: Iterable[int]) -> None:
        self._roster.taken(partitions)

    def lost(self, partitions: Iterable[int]) -> None:
        self._roster.lost(partitions)

    def joined(self) -> None:
        with self._life.changed:
            self._has_joined = True
            self._life.changed.notify_all()

    def expelled(self, why: str) -> None:
        self._fail(why)

    def _lease(self, number: int, ended: Callable[[], None]) -> Tenant:
        halt = self._board.halt(number)
        if halt is not None:
            raise PenstockError(
                f"partition {number} stands still since instance {halt.instance} stopped at it: {halt.why}; mend it, "
                f"then say: penstock instances reopen {number}"
            )
        assert self._storage is not None, "the folder is claimed"
        lease = Lease(
            number=number,
            data=self._folder.path,
            flow_control=self._flow_control,
            options=self._options,
            clock=self._clock,
            storage=self._storage,
            receivers=self._receivers,
            override=self._board.overrides().get(number),
            pauses=self._board.pauses(),
            handed=Handed(self._board, number, self._put, self._folder.rejects),
            paces=self._by_hand.paces,
            observer=self._observer,
        )
        return Tenant(self.pipeline, lease, ended)

    def _stopped_by(self, number: int, failure: BaseException, position: int | None) -> None:
        """A task failed whose policy is to stop: no other instance shall run into the same record."""
        row = HaltRow(instance=self.name, since_wall_ns=self._clock.wall_ns(), why=str(failure), position=position)
        try:
            self._tell_others(halt_key(number), packed(row))
        except ControlError as error:
            log.error("partition %d: the others could not be told that it stands still: %s", number, error)
        self._fail(f"partition {number}: {failure}")

    # -- supervision ---

    def _tell_moved(self) -> None:
        """Something was opened or closed, or somebody has said something."""
        self._by_hand.look()
        self._life.tell_news()

    def _fail(self, text: str) -> None:
        self._life.fail(TaskFailedError(text))

    def _supervise(self) -> None:
        self._life.lead(self._run, self._close_all)

    def _run(self) -> None:
        while True:
            self._life.wait_news(_PULSE_SECONDS)
            if self._life.is_end_wanted:
                self._life.stop()
                return
            self._presence.pulse(self._by_hand.applied)
            self._intake.give_back_late()

    def _close_all(self) -> None:
        self._last_words = self.snapshot()
        self._by_hand.stop()
        self._handing_out.stop()
        self._intake.close(_INTAKE_CLOSE_NS)
        with ExitStack() as last:
            if self._observer is not None:
                last.callback(self._observer.close)
            last.callback(self._folder.close)
            last.callback(self._control.close)
            if self._membership is not None:
                self._membership.close()
            self._roster.close()
            self._presence.say_goodbye()

    # -- what the board tells; `Follower` ---

    def _told(self, key: str, value: bytes | None, place: int) -> None:
        self._board.told(key, value, place)
        if not key.startswith("instance/"):
            self._tell_moved()

    def again_told(self, task: str) -> None:
        self._handing_out.ask(task)

    def halt_told(self, partition: int, row: HaltRow | None) -> None:
        if row is None:
            self._roster.retry(partition)

    # -- the door ---

    def snapshot(self) -> EngineSnapshot:
        """Everything an outsider may see of this instance, at this moment."""
        seen = self._seen_here()
        whole = replace(
            self._seen_from_here(self.pipeline.name),
            vertices=self._owners.vertices,
            edges=self._edges,
            closed=seen.closed,
            departed=seen.departed,
            instances=self._presence.seen(seen, self._intake.forwarded),
        )
        return merged(whole, seen.running)

    def _seen_here(self) -> Seen:
        membership = self._membership
        seen = self._roster.seen()
        if membership is None or not membership.is_in_doubt:
            return seen
        # Asked behind the look: the process may have been stopped in between.
        return self._roster.seen(is_in_doubt=True)

    def last_words(self) -> EngineSnapshot:
        """What it was when its end began, partitions included; by now they may be elsewhere."""
        return self.snapshot() if self._last_words is None else replace(self._last_words, state=self._life.state)

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        """Where other instances, and people, reach the ports of this one."""
        kafka = self._options.kafka
        if gateway is not None and kafka is not None:
            gateway = kafka.advertised_url or gateway
        self._presence.reached_at(gateway=gateway, management=management)
        self._life.tell_news()

    def forward_by(self, forward: Forward) -> None:
        """How records are handed to other instances; without it they are refused."""
        self._intake.forward = forward

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        return self.write_for(values, partition, Caller())

    def write_for(self, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        """The same for somebody whose name is handed on with the records."""
        check_takes_records(self._life.state)
        return self._intake.write(values, partition, caller)

    def reserve_for(self, values: Sequence[Any], caller: Caller) -> str | Refusal:
        """Admits values for another instance that writes to several; see `SharedIntake`."""
        check_takes_records(self._life.state)
        return self._intake.reserve(values, caller)

    def write_reserved(self, token: str) -> Written:
        return self._intake.write_reserved(token)

    def give_back(self, token: str) -> None:
        self._intake.give_back(token)

    def reopen(self, partition: int) -> None:
        """Lets a partition that has failed or stands still be opened again, wherever it is."""
        check_running(self._life.state)
        if not 1 <= partition <= self.pipeline.partitions:
            raise ConfigurationError(f"there is no partition {partition}")
        self._put(halt_key(partition), None)

    def _tell_others(self, key: str, value: bytes | None) -> int:
        """Raises `ControlError`."""
        return self._control.put(key, value)

    def _put(self, key: str, value: bytes | None) -> int:
        """The same for who asks from outside. Raises `NotReadyError`."""
        try:
            return self._tell_others(key, value)
        except ControlError as error:
            # A broker that does not answer may have it all the same.
            raise NotReadyError(f"{error}; what was asked for may be in force or not: look, and ask again") from error

    def replay_rejects(self, task: str) -> int:
        """Has every instance try again what it has set aside; how much of it is kept here.

        Each goes to whoever has its partition. Raises `ConfigurationError` where there is no such task, and
        `NotReadyError` where the others cannot be told.
        """
        check_running(self._life.state)
        pipeline = self.pipeline
        known = {*self._owners.exporters, KEY, LOG_WRITER, *(step.name for step in pipeline.steps)}
        known |= {source.name for source in pipeline.sources}
        if pipeline.processor is not None:
            known.add(pipeline.processor.name)
        if task not in known:
            raise ConfigurationError(f"there is no task {task!r}; there are {', '.join(sorted(known))}")
        row = AgainRow(instance=self.name, at_wall_ns=self._clock.wall_ns())
        count = sum(one.count for one in self._rejects.counts() if one.task == task)
        self._put(again_key(task), packed(row))
        return count


def _nobody_fails(_task: str, error: BaseException) -> None:
    raise AssertionError("nothing runs that could") from error


def _short_id() -> str:
    return uuid.uuid4().hex[:4]
