"""One of many instances of a pipeline: the same door as an engine, over the partitions that belong here just now."""

from __future__ import annotations

import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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
from engine.core.observing import BatchObserver
from engine.core.pause import Pause
from engine.core.rarely import Rarely, and_more
from engine.core.readiness import check_ready, check_running, check_takes_records
from engine.core.snapshot import (
    EdgeSnapshot,
    EngineSnapshot,
    EngineState,
    GatewaySnapshot,
    InstanceSnapshot,
    InstancesSnapshot,
    PartitionState,
    VertexBackPressure,
    VertexSnapshot,
)
from engine.flow.episodes import Episode, by_start
from engine.flow.events import LimitChanged, by_time
from engine.flow.gate import Refusal
from engine.flow.overrides import Override, set_by_hand
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings
from engine.instances.board import (
    Board,
    HaltRow,
    InstanceRow,
    OwnerRow,
    halt_key,
    instance_key,
    override_key,
    owner_key,
    packed,
    pause_key,
)
from engine.instances.configuration import configuration_of, differences, hash_of
from engine.instances.control import Alone, Control, ControlError
from engine.instances.here import Neighbour
from engine.instances.intake import Caller, Forward, SharedIntake
from engine.instances.membership import Membership
from engine.instances.places import Places, closed_row
from engine.instances.roster import Roster, Seen
from engine.instances.tenant import Lease, Tenant
from engine.log.storage import LogStorage
from engine.options import EngineOptions
from engine.pipeline import PipelineDescription
from engine.processing.delivery import Receiver
from engine.runtime.data_folder import DataFolder
from engine.runtime.front import key_text
from engine.runtime.intake import Intake, Written
from engine.runtime.merging import merged, vertex_of_all
from engine.runtime.share import Share
from engine.runtime.wiring import Wiring, check
from engine.sources.protocol import partition_fed_by
from engine.writing.reject_folder import RejectFolder

log = logging.getLogger("penstock.instances")

# How often an instance says that it is there, and how long a change waits to be in force everywhere.
_PULSE_SECONDS = 2.0
_CHANGE_SECONDS = 5.0
_INTAKE_CLOSE_NS = 2 * NS_PER_SECOND
# How long it is worth waiting for the others before an answer says that they were not heard.
_HANDOVER_NS = 3 * NS_PER_SECOND
_SESSION_NS = 10 * NS_PER_SECOND


class InstanceEngine:
    """Runs those partitions of one pipeline that somebody else deals out; the same to its users as `Engine`.

    Any thread may call any method. Each partition is opened and closed on a thread of its own (`Attendant`), and runs
    as an engine over a share of one (`Tenant`). A supervisor thread says every few seconds that this instance is there
    and what it has, and ends it. A failing task fails its partition; where its policy is to stop, the instance ends,
    and nobody opens that partition until `reopen`.
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
        membership: Membership | None = None,
        control: Control | None = None,
        name: str | None = None,
        version: str = "",
    ) -> None:
        """`storage`, `membership` and `control` are those of `options` where they are not given.

        Without a membership the partitions are dealt by hand: by whoever calls `given`, `taken` and `lost`.
        """
        self._options = options or EngineOptions()
        check(pipeline, runs_anywhere=True)
        for source in pipeline.sources:
            if partition_fed_by(source.source) is None:
                raise ConfigurationError(
                    f"source {source.name!r} cannot be shared by instances: each would read all of it; bring the "
                    "records by the gateway or by a topic with as many partitions as the pipeline"
                )
        self.pipeline = pipeline
        self._flow_control = flow_control or FlowControlSettings()
        self._clock = clock or SystemClock()
        self._folder = DataFolder(data)
        self._rejects = RejectFolder(self._folder.rejects)
        self._storage = storage
        self._membership = membership
        self._control: Control = control or Alone()
        self._is_given = control is not None or membership is not None or storage is not None
        kafka = self._options.kafka
        self.name = name or (kafka.instance if kafka is not None else None) or f"{socket.gethostname()}-{_short_id()}"
        self._process = uuid.uuid4().hex
        self._version = version
        self._configuration = configuration_of(pipeline, self._flow_control)
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
        self._places = Places(self._board, name=self.name, process=self._process)
        # The opening of each partition of which the others were told, by its time.
        self._told_of: dict[int, int] = {}
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
        self._gateway: Callable[[], GatewaySnapshot] | None = None
        # Where others reach this one's ports.
        self._gateway_url = self._management_url = ""
        self._graph: tuple[tuple[VertexSnapshot, ...], tuple[EdgeSnapshot, ...]] = ((), ())
        self._configuring = threading.Lock()
        # Up to where what others said is in force here, and what tells the thread that sees to it.
        self._applied = -1
        self._to_enforce = threading.Event()
        self._has_to_end = threading.Event()
        self._enforcer = threading.Thread(target=self._keep_enforcing, name="penstock-by-hand", daemon=True)
        self._paces: dict[str, float | None] = {}
        self._troubles = Rarely(self._clock)
        self._known: dict[str, InstanceRow] = {}
        self._supervisor = threading.Thread(target=self._supervise, name="penstock-supervisor", daemon=True)
        # Guarded by _wake, which also tells the supervisor to look.
        self._wake = threading.Condition()
        self._state = EngineState.STARTING
        self._failure: TaskFailedError | None = None
        self._stop_requested = False
        self._has_joined = False
        self._news = False
        self._last_words: EngineSnapshot | None = None
        self._ended = threading.Event()
        self._started_wall_ns = self._clock.wall_ns()

    # -- life ---

    def start(self) -> Self:
        """Joins the others, and returns when it is known what belongs here; that is opened meanwhile.

        Raises `PenstockError` and leaves nothing behind.
        """
        self._claim()
        try:
            if self.pipeline.observer is not None:
                self._observer = self.pipeline.observer(self.pipeline.name)
            self._graph = self._drawn()
            self._control.start(self._told)
            self._board.caught_up()
            self._enforcer.start()
            self._pulse()
            self._intake.open()
            if self._membership is not None:
                self._membership.start(self)
                self._await_joined()
        except BaseException:
            self._close_all()
            self._ended.set()
            raise
        with self._wake:
            if not self._stop_requested:
                self._state = EngineState.RUNNING
        self._supervisor.start()
        return self

    def _claim(self) -> None:
        options = self._options
        self._folder.open(self.pipeline.name, self.pipeline.partitions, options.storage)
        try:
            if options.storage == "kafka" and not self._is_given:
                self._open_kafka()
            elif self._storage is None:
                self._storage = lambda number: self._folder.storage(number, options.storage, options.synchronous)
        except BaseException:
            self._folder.close()
            raise

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
        with self._wake:
            self._wake.wait_for(lambda: self._has_joined or self._stop_requested or self._failure is not None)
            if self._failure is not None:
                raise self._failure

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the instance has ended; False when `timeout` seconds passed before.

        Raises `TaskFailedError` when something stopped it.
        """
        if not wait_for(self._ended, timeout):
            return False
        if self._failure is not None:
            raise self._failure
        return True

    def stop(self, *, drain: bool = True) -> None:
        """Gives back what belongs here and leaves. What is under way is finished by who has it next, so nothing waits.

        `drain` is for those who do not know that.
        """
        with self._wake:
            self._stop_requested = True
            self._wake.notify_all()
            has_begun = self._supervisor.ident is not None or self._membership is not None
        if has_begun:
            wait_for(self._ended)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def state(self) -> EngineState:
        return self._state

    # -- who owns what; `Owner` ---

    def given(self, partitions: Iterable[int]) -> None:
        self._roster.given(partitions)

    def taken(self, partitions: Iterable[int]) -> None:
        self._roster.taken(partitions)

    def lost(self, partitions: Iterable[int]) -> None:
        self._roster.lost(partitions)

    def joined(self) -> None:
        with self._wake:
            self._has_joined = True
            self._wake.notify_all()

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
            paces=dict(self._paces),
            observer=self._observer,
        )
        return Tenant(self.pipeline, lease, ended)

    def _stopped_by(self, number: int, failure: BaseException, position: int | None) -> None:
        """A task failed whose policy is to stop: no other instance shall run into the same record."""
        row = HaltRow(instance=self.name, since_wall_ns=self._clock.wall_ns(), why=str(failure), position=position)
        try:
            self._control.put(halt_key(number), packed(row))
        except ControlError as error:
            log.error("partition %d: the others could not be told that it stands still: %s", number, error)
        self._fail(f"partition {number}: {failure}")

    # -- supervision ---

    def _tell_moved(self) -> None:
        """Something was opened or closed, or somebody has said something."""
        self._to_enforce.set()
        self._tell_news()

    def _tell_news(self) -> None:
        with self._wake:
            self._news = True
            self._wake.notify_all()

    def _fail(self, text: str) -> None:
        with self._wake:
            if self._failure is None:
                self._failure = TaskFailedError(text)
            self._wake.notify_all()

    def _supervise(self) -> None:
        try:
            while True:
                with self._wake:
                    if not (self._news or self._stop_requested or self._failure):
                        self._wake.wait(_PULSE_SECONDS)
                    self._news = False
                    if self._stop_requested or self._failure is not None:
                        self._state = EngineState.STOPPING
                        return
                self._pulse()
                self._intake.give_back_late()
        except BaseException as error:
            log.exception("the supervisor failed")
            self._fail(f"the engine failed: {error!r}")
        finally:
            try:
                self._close_all()
            finally:
                with self._wake:
                    self._state = EngineState.FAILED if self._failure is not None else EngineState.FINISHED
                self._ended.set()

    def _pulse(self) -> None:
        """Says that this instance is there and what it has, and looks who else is."""
        try:
            self._control.put(instance_key(self.name), packed(self._row()))
            self._say_what_is_here()
        except ControlError as error:
            if (count := self._troubles.more()) is not None:
                log.warning("the other instances are not told what is here: %s%s", error, and_more(count))
        self._look_around()

    def _row(self) -> InstanceRow:
        return InstanceRow(
            name=self.name,
            process=self._process,
            since_wall_ns=self._started_wall_ns,
            version=self._version,
            gateway=self._gateway_url,
            management=self._management_url,
            configuration=self._configuration,
            applied=self._applied,
            closed=tuple(map(closed_row, self._roster.seen().closed)),
        )

    def _say_what_is_here(self) -> None:
        running = {tenant.number: tenant.partition.opened_wall_ns for tenant in self._roster.tenants()}
        for number in range(1, self.pipeline.partitions + 1):
            said = self._board.said_owner(number)
            is_said = said is not None and said.process == self._process
            if number in running and not is_said:
                since = running[number] or self._clock.wall_ns()
                if self._told_of.get(number) == since and self._board.owner(number) is not None:
                    # Somebody has opened it after us, and we have not learnt yet that it is lost.
                    continue
                row = OwnerRow(instance=self.name, process=self._process, since_wall_ns=since)
                self._control.put(owner_key(number), packed(row))
                self._told_of[number] = since
            elif number not in running and is_said:
                row = OwnerRow(instance="", process="", since_wall_ns=self._clock.wall_ns())
                self._control.put(owner_key(number), packed(row))

    def _look_around(self) -> None:
        here = {row.name: row for row in self._board.instances() if row.name != self.name}
        for name in sorted(self._known.keys() - here.keys()):
            log.warning("instance %s is gone", name)
        for name, row in sorted(here.items()):
            before = self._known.get(name)
            if before is None:
                log.info("instance %s is here", name)
            parts = differences(self._configuration, row.configuration)
            if parts and (before is None or before.configuration != row.configuration):
                log.warning(
                    "instance %s runs another configuration of pipeline %s: %s differ%s",
                    name,
                    self.pipeline.name,
                    ", ".join(parts),
                    "s" if len(parts) == 1 else "",
                )
        self._known = here

    def _close_all(self) -> None:
        self._last_words = self.snapshot()
        self._has_to_end.set()
        self._to_enforce.set()
        self._intake.close(_INTAKE_CLOSE_NS)
        try:
            if self._membership is not None:
                self._membership.close()
            self._roster.close()
            try:
                self._say_what_is_here()
                self._control.put(instance_key(self.name), None)
            except ControlError as error:
                log.warning("the other instances are not told that this one leaves: %s", error)
            self._control.close()
            self._folder.close()
        finally:
            if self._observer is not None:
                self._observer.close()

    # -- what the board tells; `Follower` ---

    def _told(self, key: str, value: bytes | None, place: int) -> None:
        self._board.told(key, value, place)
        if not key.startswith("instance/"):
            self._tell_moved()

    def _keep_enforcing(self) -> None:
        """On a thread of its own: a partition whose log does not answer holds up neither what others say nor our own
        word that we are here."""
        while not self._has_to_end.is_set():
            self._to_enforce.wait(_PULSE_SECONDS)
            self._to_enforce.clear()
            try:
                self._enforce()
            except Exception:
                log.exception("what was set by hand is not in force on all partitions here; it is tried again")

    def _enforce(self) -> None:
        """What was set by hand is in force on all partitions that are open here, those just opened included."""
        place = self._board.read_to
        overrides, pauses = self._board.overrides(), self._board.pauses()
        for tenant in self._roster.tenants():
            tenant.enforce(overrides.get(tenant.number), pauses)
        if place > self._applied:
            self._applied = place
            self._tell_news()

    def halt_told(self, partition: int, row: HaltRow | None) -> None:
        if row is None:
            self._roster.retry(partition)

    # -- the door ---

    @property
    def data_folder(self) -> Path | None:
        """As that of `Engine`."""
        return None if self._options.storage == "memory" else self._folder.path

    def snapshot(self) -> EngineSnapshot:
        """Everything an outsider may see of this instance, at this moment."""
        seen = self._seen_here()
        whole = EngineSnapshot(
            pipeline=self.pipeline.name,
            job_id=stable_id(self.pipeline.name),
            state=self._state,
            failure=None if self._failure is None else str(self._failure),
            started_wall_ns=self._started_wall_ns,
            taken_wall_ns=self._clock.wall_ns(),
            taken_monotonic_ns=self._clock.monotonic_ns(),
            vertices=self._graph[0],
            edges=self._graph[1],
            partitions=(),
            tasks=(),
            gateway=None if self._gateway is None else self._gateway(),
            rejects=self._rejects.counts(),
            has_gil=has_gil(),
            closed=seen.closed,
            departed=seen.departed,
            instances=self._instances_seen(seen),
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
        return self.snapshot() if self._last_words is None else replace(self._last_words, state=self._state)

    def _instances_seen(self, seen: Seen) -> InstancesSnapshot:
        running = [partition for snapshot in seen.running for partition in snapshot.partitions]
        places = self._places.seen(self.pipeline.partitions, running, seen.closed)
        has_open = [place for place in places if place.state is PartitionState.RUNNING]
        instances = tuple(
            InstanceSnapshot(
                name=row.name,
                is_me=row.process == self._process,
                since_wall_ns=row.since_wall_ns,
                version=row.version,
                gateway=row.gateway,
                management=row.management,
                partitions={p.partition: p.since_wall_ns or 0 for p in has_open if p.owner == row.name},
                differs=differences(self._configuration, row.configuration),
            )
            for row in self._board.instances()
        )
        return InstancesSnapshot(
            me=self.name,
            instances=instances,
            places=places,
            owned=tuple(sorted(self._roster.owned)),
            moves=dict(self._roster.moves),
            forwarded=dict(self._intake.forwarded),
            configuration=hash_of(self._configuration),
        )

    def attach_gateway(self, snapshot: Callable[[], GatewaySnapshot]) -> None:
        """From now on snapshots tell of this gateway; `snapshot` may be called from any thread, also when it closed."""
        self._gateway = snapshot

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        """Where other instances, and people, reach the ports of this one."""
        if gateway is not None:
            kafka = self._options.kafka
            said = None if kafka is None else kafka.advertised_url
            self._gateway_url = said or gateway
        self._management_url = self._management_url if management is None else management
        self._tell_news()

    def forward_by(self, forward: Forward) -> None:
        """How records are handed to other instances; without it they are refused."""
        self._intake.forward = forward

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Writes values from outside as user commands, wherever their partitions are; see `Engine.write`."""
        return self.write_for(values, partition, Caller())

    def write_for(self, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        """The same for somebody whose name is handed on with the records."""
        check_takes_records(self._state)
        return self._intake.write(values, partition, caller)

    def reserve_for(self, values: Sequence[Any], caller: Caller) -> str | Refusal:
        """Admits values for another instance that writes to several; see `SharedIntake`."""
        check_takes_records(self._state)
        return self._intake.reserve(values, caller)

    def write_reserved(self, token: str) -> Written:
        return self._intake.write_reserved(token)

    def give_back(self, token: str) -> None:
        self._intake.give_back(token)

    def reopen(self, partition: int) -> None:
        """Lets a partition that has failed or stands still be opened again, wherever it is."""
        check_running(self._state)
        if not 1 <= partition <= self.pipeline.partitions:
            raise ConfigurationError(f"there is no partition {partition}")
        self._put(halt_key(partition), None)

    def _put(self, key: str, value: bytes | None) -> int:
        try:
            return self._control.put(key, value)
        except ControlError as error:
            raise NotReadyError(f"{error}; nothing was changed") from error

    # -- back pressure ---

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        """The back pressure of one vertex; on demand, being looked at is what starts a measurement."""
        self._check_vertex(vertex_id)
        said = [tenant.look_at_back_pressure(vertex_id) for tenant in self._roster.tenants()]
        if not said:
            return VertexBackPressure(
                vertex_id=vertex_id,
                is_fresh=False,
                level=None,
                sampled_wall_ns=None,
                subtasks={},
                sampling=None,
                problem="no partition is open here",
            )
        return vertex_of_all(said)

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """None: each partition's tasks are looked at by themselves."""
        self._check_vertex(vertex_id)
        return None

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Starts a fresh measurement of a vertex; False when one is under way or none can be."""
        self._check_vertex(vertex_id)
        # Of all of them, whatever the first says.
        begun = [tenant.sample_back_pressure(vertex_id) for tenant in self._roster.tenants()]
        return any(begun)

    def _check_vertex(self, vertex_id: str) -> None:
        if all(vertex.vertex_id != vertex_id for vertex in self._graph[0]):
            raise ConfigurationError(f"there is no vertex {vertex_id!r}")

    # -- limits: of all partitions, wherever they are ---

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        """The settings in force, by partition; raises `NotReadyError` as all about limits until it has started."""
        overrides = self.flow_overrides()
        return {n: self._flow_control if o is None else o.settings for n, o in overrides.items()}

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        """What each partition's request limiter has come to; None while it is disabled, or that is elsewhere."""
        check_ready(self._state)
        here = {tenant.number: tenant.partition.gate.request_limiter_state() for tenant in self._roster.tenants()}
        return {number: here.get(number) for number in range(1, self.pipeline.partitions + 1)}

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        """The settings that every partition starts with and goes back to."""
        return self._flow_control

    def flow_overrides(self) -> Mapping[int, Override | None]:
        """What was set by hand, by partition; None where the configured settings hold."""
        check_ready(self._state)
        now_ns = self._clock.wall_ns()
        kept = {
            number: override
            for number, override in self._board.overrides().items()
            if (override.until_wall_ns is None or override.until_wall_ns > now_ns)
            and override.settings != self._flow_control
        }
        return {number: kept.get(number) for number in range(1, self.pipeline.partitions + 1)}

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        """Sets the limits of the named partitions by hand, at once, wherever they are; see `Engine`.

        Raises `ConfigurationError`, or `NotReadyError` unless it runs. It is one too where an owner has not confirmed
        it in time; that one has it as soon as it listens again.
        """
        overrides = set_by_hand(settings, wall_ns=self._clock.wall_ns(), ttl_ns=ttl_ns, by=by)
        self._override(overrides)

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        """Brings the configured limits back, on all partitions or those named. Raises as `apply_flow_control`."""
        check_ready(self._state)
        numbers = range(1, self.pipeline.partitions + 1) if partitions is None else partitions
        self._override(dict.fromkeys(numbers))

    def _override(self, overrides: Mapping[int, Override | None]) -> None:
        check_running(self._state)
        unknown = sorted({*overrides} - {*range(1, self.pipeline.partitions + 1)})
        if unknown:
            raise ConfigurationError(f"there is no partition {unknown[0]}")
        if not overrides:
            return
        with self._configuring:
            places = [self._put(override_key(number), packed(override)) for number, override in overrides.items()]
        owners = {row.instance for number in overrides if (row := self._board.owner(number)) is not None}
        self._await(max(places), owners)

    def _await(self, place: int, names: Iterable[str]) -> None:
        late = self._board.wait_applied(place, {*names}, _CHANGE_SECONDS)
        if late:
            raise NotReadyError(
                f"the change is stored, and instance {', '.join(late)} has not confirmed it; it has it as soon as it "
                "listens again"
            )

    def throttling_episodes(self) -> tuple[Episode, ...]:
        """The throttling episodes of the partitions while they were here, by their start."""
        check_ready(self._state)
        return by_start(self._roster.episodes())

    def limit_changes(self) -> tuple[LimitChanged, ...]:
        """The last changes of the write limits of the partitions while they were here, oldest first."""
        return by_time(self._roster.limit_changes())

    # -- exporters and rejects ---

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        """As `Engine.pause_exporter`, on all instances."""
        self._check_exporter(name)
        pause = Pause(soft=soft, since_wall_ns=self._clock.wall_ns(), by=by) if paused else None
        place = self._put(pause_key(name), packed(pause))
        self._await(place, {row.name for row in self._board.instances()})

    def pace_exporter(self, name: str, records_per_second: float | None) -> None:
        """Limits how fast each partition's instance of an exporter hands records over here; None takes it away."""
        self._check_exporter(name)
        self._paces[name] = records_per_second
        for tenant in self._roster.tenants():
            tenant.pace_exporter(name, records_per_second)

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        """What was set aside here by a task and is kept, oldest first, at most so many.

        Raises `ConfigurationError` where there is nothing of it.
        """
        return [*islice(self._rejects.lines(task), most)]

    def drop_rejects(self, task: str) -> int:
        """Deletes what was set aside here by a task; how much it was. Raises as `rejects`."""
        return self._rejects.drop(task)

    def replay_rejects(self, task: str) -> int:
        """Raises `ConfigurationError`: what was set aside here may belong to a partition that is elsewhere by now."""
        raise ConfigurationError(
            f"rejects of {task} cannot be tried again while instances share the pipeline; send them to a gateway, or "
            "to the topic, once more"
        )

    def _check_exporter(self, name: str) -> None:
        if all(exporter.name != name for exporter in self.pipeline.exporters):
            raise ConfigurationError(f"there is no exporter {name!r}")


def _nobody_fails(_task: str, error: BaseException) -> None:
    raise AssertionError("nothing runs that could") from error


def _short_id() -> str:
    return uuid.uuid4().hex[:4]
