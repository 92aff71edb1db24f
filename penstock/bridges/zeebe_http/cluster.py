"""A Zeebe cluster behind the exporter's door. Experimental: made from the public documentation alone.

Read are `/actuator/prometheus` of each broker and `/actuator/flowControl` of the first that answers; changed are write
limits, through the same endpoint.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.condition import paused
from engine.core.errors import ConfigurationError, PenstockError, SettingError
from engine.core.identity import stable_id
from engine.core.secrets import Secrets
from engine.core.snapshot import (
    BlockReason,
    Culprit,
    EngineSnapshot,
    ExporterState,
    Origin,
    Outcome,
    PartitionSnapshot,
    VertexBackPressure,
    VertexKind,
    VertexSnapshot,
)
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings, ThrottlingSettings, WriteLimitSettings
from exporter.catalogue import FLOW_CONTROL_TASK
from penstock.bridges.asking import HttpSource, LookError
from penstock.bridges.bridge import Bridge
from penstock.bridges.zeebe_http.partition import LEADER, At, ZeebePartition, seconds_of
from penstock.bridges.zeebe_http.series import Series, read_series

BROKERS_MAX = 50
METRICS_PATH = "/actuator/prometheus"
LIMITS_PATH = "/actuator/flowControl"
PROCESSOR = "processor"
log = logging.getLogger("penstock.bridge")
# Method, path and body to an answer.
Request = Callable[[str, str, bytes | None], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeebeSettings:
    """The management ports of the brokers. Addresses may hold a user and a password."""

    urls: tuple[str, ...] = field(repr=False)
    name: str = "zeebe"
    interval_ns: int = 10 * NS_PER_SECOND

    def __post_init__(self) -> None:
        if not self.urls:
            raise SettingError("urls", "must name at least one broker", "none")
        if len(self.urls) > BROKERS_MAX:
            raise SettingError("urls", f"must name at most {BROKERS_MAX} brokers", len(self.urls))
        if self.interval_ns < NS_PER_SECOND:
            raise SettingError("interval", "must be at least 1s", f"{self.interval_ns / NS_PER_SECOND:g}s")


class ZeebeBridge(Bridge):
    """To the exporter an engine with partitions, record exporters and limits.

    A change of limits is made on all partitions at once, as the endpoint does it; after its time the bridge brings back
    what was in force before. If the bridge ends first, it brings that back on its way.
    """

    def __init__(
        self, settings: ZeebeSettings, *, clock: Clock | None = None, requests: Sequence[Request] | None = None
    ) -> None:
        """`requests` ask each broker in place of HTTP. Raises `ConfigurationError` for an address that is none."""
        origin = Origin(bridge="zeebe", id="", version="")
        super().__init__(settings.name, origin, interval_ns=settings.interval_ns, clock=clock, log=log)
        self._sources = [HttpSource(url) for url in settings.urls]
        self._requests: Sequence[Request] = requests or [source.request for source in self._sources]
        # By the looking thread alone: what is remembered of each partition, and how the last look found them.
        self._partitions: dict[int, ZeebePartition] = {}
        self._seen: tuple[PartitionSnapshot, ...] = ()
        # Held by whoever changes limits.
        self._changing = Lock()
        # Under the bridge's lock, and replaced as a whole.
        self._limits: Mapping[int, FlowControlSettings] = {}
        self._before: FlowControlSettings | None = None
        self._override: Override | None = None
        self._until_ns: int | None = None

    @property
    def shown(self) -> str:
        return ", ".join(source.shown for source in self._sources)

    @property
    def secrets(self) -> Secrets:
        """What stands in the addresses and nobody may see."""
        return Secrets.together(source.secrets for source in self._sources)

    def _interrupt(self) -> None:
        # A change that is under way is not cut.
        with self._changing:
            for source in self._sources:
                source.abort()

    def _ended(self) -> None:
        """Brings back limits whose time is not over."""
        if self._until_ns is not None:
            try:
                self.revert_flow_control()
            except PenstockError as error:
                log.error("limits that were set for a time stay in force: %s", error)
        for source in self._sources:
            source.close()

    # -- as an engine ---

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        raise ConfigurationError(f"there is no back pressure of {vertex_id!r}: Zeebe does not say it")

    def sample_back_pressure(self, vertex_id: str) -> bool:
        raise ConfigurationError(f"there is no back pressure of {vertex_id!r}: Zeebe does not say it")

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        with self._lock:
            return dict(self._limits)

    def request_limiter_states(self) -> Mapping[int, None]:
        return dict.fromkeys(self.flow_settings())

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        with self._lock:
            return self._before or next(iter(self._limits.values()), FlowControlSettings())

    def flow_overrides(self) -> Mapping[int, Override | None]:
        with self._lock:
            return dict.fromkeys(self._limits, self._override)

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        """Sends new write limits to all partitions. Raises `ConfigurationError` for what the endpoint cannot do."""
        wanted = list(settings.values())
        with self._changing:
            known = self.flow_settings()
            if set(settings) != set(known) or any(one.write != wanted[0].write for one in wanted):
                raise ConfigurationError("Zeebe's endpoint changes all partitions alike; name none of them")
            if any(one.request != known[number].request for number, one in settings.items()):
                raise ConfigurationError("through the bridge write limits can be changed, request limits cannot")
            before = self._before or known[min(known)]
            self._post(wanted[0].write)
            now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
            until = None if ttl_ns is None else wall_ns + ttl_ns
            with self._lock:
                self._before, self._limits = before, dict(settings)
                self._override = Override(settings=wanted[0], since_wall_ns=wall_ns, until_wall_ns=until, by=by)
                self._until_ns = None if ttl_ns is None else now_ns + ttl_ns

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        """Brings back what was in force before the first change through this bridge."""
        with self._changing:
            known = self.flow_settings()
            if partitions is not None and set(partitions) != set(known):
                raise ConfigurationError("Zeebe's endpoint changes all partitions alike; name none of them")
            before = self._before
            if before is None:
                return
            self._post(before.write)
            with self._lock:
                self._limits = dict.fromkeys(known, before)
                self._before = self._override = self._until_ns = None

    def _post(self, write: WriteLimitSettings | None) -> None:
        body = json.dumps({"write": _written(write)}).encode()
        try:
            self._any("POST", LIMITS_PATH, body)
        except LookError as error:
            raise PenstockError(f"Zeebe did not take the limits: {error}") from None

    # -- looking ---

    def _look(self) -> str:
        self._revert_in_time()
        brokers = self._brokers()
        limits = self._limits_said()
        at = At(self._clock.wall_ns(), self._clock.monotonic_ns())
        leaders = _leaders(brokers)
        self._partitions = {n: self._partitions.get(n) or ZeebePartition(n) for n in sorted(leaders)}
        overridden = self._override is not None
        self._seen = tuple(
            self._partitions[number].look(
                series, None if number not in limits else limits[number].write, at, overridden=overridden
            )
            for number, series in sorted(leaders.items())
        )
        with self._lock:
            self._limits = limits
        return f"Zeebe with {len(self._seen)} partitions"

    def _revert_in_time(self) -> None:
        if self._until_ns is not None and self._clock.monotonic_ns() >= self._until_ns:
            try:
                self.revert_flow_control()
                log.info("limits of %s that were set for a time are what they were before", self.shown)
            except PenstockError as error:
                log.error("%s; it is tried again", error)

    def _limits_said(self) -> dict[int, FlowControlSettings]:
        try:
            return _limits(json.loads(self._any("GET", LIMITS_PATH, None)))
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError, ConfigurationError):
            raise LookError("malformed", f"{self.shown} answers with no limits; are these management ports?") from None

    def _brokers(self) -> list[Series]:
        """Of all that answer. Raises `LookError` where none does."""
        found: list[Series] = []
        failed: list[LookError] = []
        for ask in self._requests:
            try:
                found.append(read_series(ask("GET", METRICS_PATH, None).decode(errors="replace")))
            except LookError as error:
                failed.append(error)
        # The one that is raised is counted by who takes it.
        raised = None if found else failed.pop()
        for missed in failed:
            self._missed(missed)
        if raised is not None:
            raise raised
        return found

    def _any(self, method: str, path: str, body: bytes | None) -> bytes:
        """The answer of the first broker that gives one."""
        last = LookError("unreachable", f"{self.shown} cannot be asked")
        for ask in self._requests:
            try:
                return ask(method, path, body)
            except LookError as error:
                last = error
        raise last

    def _filled(self, bare: EngineSnapshot) -> EngineSnapshot:
        name, partitions = self._name, self._seen
        exporters = list(dict.fromkeys(e.exporter for partition in partitions for e in partition.exporters))
        kinds = dict.fromkeys(exporters, VertexKind.EXPORTER)
        if partitions:
            kinds = {PROCESSOR: VertexKind.PROCESSOR, **kinds}
        culprit = _culprit(name, partitions)
        assert bare.bridge is not None, "a bridge's own"
        return replace(
            bare,
            vertices=tuple(
                VertexSnapshot(
                    vertex_id=stable_id("zeebe", name, task), task=task, kind=kind, parallelism=len(partitions)
                )
                for task, kind in kinds.items()
            ),
            partitions=partitions,
            bottleneck=None if culprit is None else culprit.task,
            culprit=culprit,
            bridge=replace(bare.bridge, drifted=len({str(one) for one in self.flow_settings().values()}) > 1),
        )


def _leaders(brokers: Sequence[Series]) -> dict[int, Series]:
    """For each partition the broker that leads it; where no broker says who does, the one that has written most."""
    found: dict[int, tuple[tuple[bool, float], Series]] = {}
    for series in brokers:
        for labels, position in series.of("zeebe_log_appender_last_committed_position"):
            number = labels.get("partition", "")
            if not number.isdecimal():
                continue
            leads = series.one("atomix_role", partition=number) == LEADER
            rank = (leads, position)
            if int(number) not in found or rank > found[int(number)][0]:
                found[int(number)] = (rank, series)
    return {number: series for number, (_, series) in found.items()}


def _limits(answer: Any) -> dict[int, FlowControlSettings]:
    """Of the endpoint's answer. What it does not say (the algorithm of the request limit) is as it is by default."""
    return {int(number): FlowControlSettings(write=_write(one.get("writeRateLimit"))) for number, one in answer.items()}


def _write(said: Any) -> WriteLimitSettings | None:
    if said is None:
        return None
    throttling = said.get("throttling") or {}
    return WriteLimitSettings(
        enabled=bool(said.get("enabled")),
        limit=int(said["limit"]),
        ramp_up_ns=seconds_of(said.get("rampUp")),
        throttling=ThrottlingSettings(
            enabled=bool(throttling.get("enabled")),
            acceptable_backlog=int(throttling.get("acceptableBacklog", 100_000)),
            minimum_limit=int(throttling.get("minRate", 100)),
            resolution_ns=seconds_of(throttling.get("resolution", 15)),
        ),
    )


def _written(write: WriteLimitSettings | None) -> dict[str, Any]:
    """As the endpoint is documented to take it, whole: what is left out would be set to its default."""
    if write is None:
        return {"enabled": False}
    return {
        "enabled": write.enabled,
        "limit": write.limit,
        "rampUp": write.ramp_up_ns / NS_PER_SECOND,
        "throttling": {
            "enabled": write.throttling.enabled,
            "acceptableBacklog": write.throttling.acceptable_backlog,
            "minimumLimit": write.throttling.minimum_limit,
            "resolution": write.throttling.resolution_ns / NS_PER_SECOND,
        },
    }


def _culprit(name: str, partitions: Sequence[PartitionSnapshot]) -> Culprit | None:
    """A paused exporter, a slow one behind a throttle, the write limit, the request limit or the processing."""
    for partition in partitions:
        for exporter in partition.exporters:
            if exporter.state is ExporterState.PAUSED and exporter.backlog_records:
                text = f"{paused(exporter.exporter, None)}: {exporter.backlog_records} records wait on partition"
                return _told(name, exporter.exporter, f"{text} {partition.partition}")
    for partition in partitions:
        number, flow = partition.partition, partition.flow
        if flow.throttled and partition.exporters:
            slowest = max(partition.exporters, key=lambda exporter: exporter.backlog_records)
            text = f"{slowest.exporter} is {slowest.backlog_records} records behind on partition {number}"
            return _told(name, slowest.exporter, f"{text}, so writes are throttled")
        if flow.refused_ns is None:
            continue
        refused = Counter(dict.fromkeys(Outcome, 0))
        for (_, outcome), count in flow.writes.items():
            refused[outcome] += count
        if refused[Outcome.WRITE_RATE_LIMIT_EXHAUSTED] >= refused[Outcome.REQUEST_LIMIT_EXHAUSTED]:
            return _told(name, None, f"the write limit of partition {number} is used up")
        if flow.request_limit is not None and flow.requests_in_flight >= flow.request_limit:
            return _told(name, PROCESSOR, f"partition {number} takes too long over the commands in flight")
        return _told(name, None, f"the request limit of partition {number} is used up")
    return None


def _told(name: str, task: str | None, text: str) -> Culprit:
    return Culprit(
        task=task or FLOW_CONTROL_TASK,
        vertex_id=None if task is None else stable_id("zeebe", name, task),
        subtask=None,
        reason=BlockReason.REQUEST_LIMIT if task == PROCESSOR else BlockReason.WRITE_LIMIT,
        victims=(),
        text=text,
    )
