"""Where the exporter meets the engine: the only module that names what it uses of it, besides the snapshot.

`EngineDoor` is the whole of an engine as the management port knows it, so that a test, a worker process or an
embedder can stand in for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from engine import (
    AimdSettings,
    BatchOutcome,
    Clock,
    ConfigurationError,
    Episode,
    FixedSettings,
    FlowControlSettings,
    Gradient2Settings,
    GradientSettings,
    LegacyVegasSettings,
    Mark,
    NotReadyError,
    Override,
    PenstockError,
    Place,
    ProcessedBatch,
    Refusal,
    RequestAlgorithm,
    RequestLimiterState,
    RequestLimitSettings,
    SettingError,
    SystemClock,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    VegasSettings,
    WriteFailedError,
    WriteLimitSettings,
    WriteSource,
    Written,
    WrongRecordError,
    flow_control_document,
    format_duration,
    parse_duration_ns,
)
from engine.backpressure.flames import FlameGraph, FlameNode
from engine.core.condition import SILENT, Condition, Finding, condition_of, findings, is_held, paused
from engine.core.extras import imported_with
from engine.core.measures import AGE_BOUNDS_SECONDS, LATENCY_BOUNDS_SECONDS, Histogram
from engine.core.readiness import check_ready, check_running
from engine.core.secrets import Secrets, named_address, shown_address
from engine.core.snapshot import EngineSnapshot, GatewaySnapshot, Outcome, VertexBackPressure
from engine.instances.intake import Caller, Forward

__all__ = [
    # what the exporter asks of an engine
    "BackPressureDoor",
    "EngineDoor",
    "EnginesDoor",
    "EpisodesSource",
    "ExportersDoor",
    "FlameDoor",
    "FlameGraph",
    "FlameNode",
    "InstancesDoor",
    "IntakeDoor",
    "RejectsDoor",
    "SharedIntakeDoor",
    "Episode",
    "Override",
    "RequestLimiterState",
    "SnapshotSource",
    "engines_of",
    "snapshots_of",
    # what is told of batches
    "BatchOutcome",
    "Mark",
    "ProcessedBatch",
    # records from outside
    "Caller",
    "Forward",
    "Outcome",
    "Place",
    "Refusal",
    "WriteFailedError",
    "Written",
    "WrongRecordError",
    # settings of flow control
    "AimdSettings",
    "FixedSettings",
    "FlowControlSettings",
    "Gradient2Settings",
    "GradientSettings",
    "LegacyVegasSettings",
    "RequestAlgorithm",
    "RequestLimitSettings",
    "SettingError",
    "ThrottlingAlgorithm",
    "ThrottlingSettings",
    "VegasSettings",
    "WriteLimitSettings",
    "flow_control_document",
    # how a pipeline is
    "Condition",
    "Finding",
    "SILENT",
    "condition_of",
    "findings",
    "is_held",
    "paused",
    # shared words
    "AGE_BOUNDS_SECONDS",
    "Clock",
    "ConfigurationError",
    "Histogram",
    "LATENCY_BOUNDS_SECONDS",
    "NS_PER_MS",
    "NS_PER_SECOND",
    "NotReadyError",
    "PenstockError",
    "Secrets",
    "SystemClock",
    "WriteSource",
    "check_ready",
    "check_running",
    "format_duration",
    "imported_with",
    "named_address",
    "parse_duration_ns",
    "shown_address",
]

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000


class SnapshotSource(Protocol):
    """Whoever can say how an engine is doing."""

    def snapshot(self) -> EngineSnapshot:
        """One frozen value; cheap, pure, callable from any thread."""
        ...


@runtime_checkable
class EpisodesSource(Protocol):
    """Whoever can say when the throttle held limits down."""

    def throttling_episodes(self) -> tuple[Episode, ...]:
        """By start; those that still run have no end."""
        ...


class BackPressureDoor(SnapshotSource, Protocol):
    """Whoever can say how hard its tasks are pushed back. Unknown vertices raise `ConfigurationError`."""

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        """What is known of a vertex; where tasks are sampled on demand, a look is what starts a measurement."""
        ...

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Starts a fresh measurement of a vertex; False when one is under way or none can be."""
        ...


@runtime_checkable
class FlameDoor(Protocol):
    """Whoever can show whole stacks. Unknown vertices raise `ConfigurationError`."""

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """The last that is known; a look is what has stacks gathered, for some seconds. None where none are kept."""
        ...


class ExportersDoor(SnapshotSource, Protocol):
    """Whoever can hold a record exporter. Unknown names raise `ConfigurationError`."""

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        """Holds an exporter where it is, or softly what it has acknowledged; or lets it go on."""
        ...


class RejectsDoor(SnapshotSource, Protocol):
    """Whoever keeps what was set aside. Each raises `ConfigurationError` where there is nothing of a task."""

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        """Oldest first, at most so many."""
        ...

    def replay_rejects(self, task: str) -> int:
        """Tries all of them again, soon and each once; how many they are."""
        ...

    def drop_rejects(self, task: str) -> int:
        """Deletes them; how many they were."""
        ...


class EngineDoor(BackPressureDoor, ExportersDoor, RejectsDoor, EpisodesSource, Protocol):
    """An engine as the management port knows it. Every method may be called from any thread.

    Those about limits raise `NotReadyError` until the engine is ready, and changes once it is no more.
    """

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        """The settings in force, by partition."""
        ...

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        """The request limiters, by partition; None where the request limit is disabled."""
        ...

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        """The settings that every partition starts with and goes back to."""
        ...

    def flow_overrides(self) -> Mapping[int, Override | None]:
        """What was set by hand, by partition; None where the configured settings hold."""
        ...

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        """Puts settings into force on all the partitions named, or raises and changes none.

        After `ttl_ns` the configured ones come back by themselves.
        """
        ...

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        """Brings the configured settings back, on all partitions or on those named; or raises and changes none."""
        ...


@runtime_checkable
class EnginesDoor(Protocol):
    """Several engines behind one door; the label `pipeline` tells them apart."""

    def engines(self) -> tuple[EngineDoor, ...]:
        """Those that are there at this moment, each with a name of its own.

        The first speaks for all of them (readiness, what the exporter says of itself), and stays.
        """
        ...


def engines_of(engine: EngineDoor) -> tuple[EngineDoor, ...]:
    """All that are behind a door."""
    return engine.engines() if isinstance(engine, EnginesDoor) else (engine,)


def snapshots_of(source: SnapshotSource) -> tuple[EngineSnapshot, ...]:
    """Of all that are behind a door, the one that speaks for all of them first."""
    if isinstance(source, EnginesDoor):
        return tuple(engine.snapshot() for engine in source.engines())
    return (source.snapshot(),)


@runtime_checkable
class InstancesDoor(Protocol):
    """An engine of which others share the pipeline."""

    def reopen(self, partition: int) -> None:
        """Lets one that has failed or stands still try again, wherever it is. Raises `ConfigurationError`."""
        ...

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        """Where the others, and people, reach the ports of this one."""
        ...


@runtime_checkable
class SharedIntakeDoor(Protocol):
    """An engine of which others share the pipeline, as the gateway knows it; see `IntakeDoor`."""

    def write_for(self, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        """As `write`; what belongs to others is handed on in the name of the one who brings it."""
        ...

    def reserve_for(self, values: Sequence[Any], caller: Caller) -> str | Refusal:
        """Admits values for another instance, and writes nothing yet: a token for the two below."""
        ...

    def write_reserved(self, token: str) -> Written: ...

    def give_back(self, token: str) -> None: ...

    def forward_by(self, forward: Forward) -> None:
        """How records get to the others."""
        ...

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        """Where the others reach the ports of this one."""
        ...


class IntakeDoor(Protocol):
    """An engine as the gateway knows it."""

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Makes durable records of values, or says which limit refused them, and then wrote none.

        From any thread; may take as long as a commit. Raises `WrongRecordError` and `WriteFailedError`.
        """
        ...

    def attach_gateway(self, snapshot: Callable[[], GatewaySnapshot]) -> None:
        """The engine's snapshots tell of the gateway from now on."""
        ...
