"""The door of an engine: what may be asked of it and changed by hand, wherever its partitions are open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.backpressure.flames import FlameGraph
from engine.core.clock import Clock, SystemClock
from engine.core.errors import ConfigurationError
from engine.core.identity import stable_id
from engine.core.interpreter import has_gil
from engine.core.pause import Pause
from engine.core.readiness import check_ready, check_running
from engine.core.snapshot import EngineSnapshot, EngineState, GatewaySnapshot, VertexBackPressure
from engine.flow.episodes import Episode, by_start
from engine.flow.events import LimitChanged, by_time
from engine.flow.gate import Refusal
from engine.flow.overrides import Override, set_by_hand
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import FlowControlSettings
from engine.options import EngineOptions
from engine.runtime.data_folder import DataFolder
from engine.runtime.intake import Written
from engine.runtime.life import Life
from engine.runtime.owners import Owners
from engine.writing.reject_folder import RejectFolder


class Door(ABC):
    """Runs one pipeline over one data folder; a context manager from `start` to `stop`.

    Any thread may call any method. What concerns partitions is looked at here, once, and then asked of their `Owners`:
    each kind of engine has its own.
    """

    _owners: Owners

    def __init__(
        self,
        data: Path,
        *,
        flow_control: FlowControlSettings | None,
        options: EngineOptions | None,
        clock: Clock | None,
    ) -> None:
        self._flow_control = flow_control or FlowControlSettings()
        self._options = options or EngineOptions()
        self._clock = clock or SystemClock()
        self._folder = DataFolder(data)
        self._rejects = RejectFolder(self._folder.rejects)
        self._gateway: Callable[[], GatewaySnapshot] | None = None
        self._life = Life()
        self._started_wall_ns = self._clock.wall_ns()

    # -- life ---

    @abstractmethod
    def start(self) -> Self:
        """Opens what is to be opened and starts every task. Raises `PenstockError` and leaves nothing behind."""

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the engine has ended; False when `timeout` seconds passed before.

        Raises `TaskFailedError` when a task, or whatever else cannot go on, stopped the run.
        """
        if not self._life.wait_ended(timeout):
            return False
        if self._life.failure is not None:
            raise self._life.failure
        return True

    @abstractmethod
    def stop(self, *, drain: bool = True) -> None:
        """Ends the engine and waits for it: sources first, then everything behind, for at most the drain time.

        Without `drain`, and after that time, tasks end where they stand; all they had is in the log or read again.
        """

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(drain=error is None)

    @property
    def state(self) -> EngineState:
        return self._life.state

    @property
    def data_folder(self) -> Path | None:
        """Where what others keep of it may stand beside its log; None where nothing outlives the process."""
        return None if self._options.storage == "memory" else self._folder.path

    # -- looking ---

    @abstractmethod
    def snapshot(self) -> EngineSnapshot:
        """Everything an outsider may see, at this moment."""

    def last_words(self) -> EngineSnapshot:
        """What there is to say of it once it has ended."""
        return self.snapshot()

    def _seen_from_here(self, pipeline: str) -> EngineSnapshot:
        """What is known here of an engine at this moment; partitions and tasks are still to come."""
        life = self._life
        return EngineSnapshot(
            pipeline=pipeline,
            job_id=stable_id(pipeline),
            state=life.state,
            failure=None if (failure := life.failure or life.damage) is None else str(failure),
            started_wall_ns=self._started_wall_ns,
            taken_wall_ns=self._clock.wall_ns(),
            taken_monotonic_ns=self._clock.monotonic_ns(),
            vertices=(),
            edges=(),
            partitions=(),
            tasks=(),
            gateway=None if self._gateway is None else self._gateway(),
            rejects=self._rejects.counts(),
            has_gil=has_gil(),
        )

    def attach_gateway(self, snapshot: Callable[[], GatewaySnapshot]) -> None:
        """From now on snapshots tell of this gateway; `snapshot` may be called from any thread, also when it closed."""
        self._gateway = snapshot

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        """The back pressure of one vertex; on demand, being looked at is what starts a measurement."""
        return self._owners.look_at_back_pressure(vertex_id)

    def flame_graph(self, vertex_id: str) -> FlameGraph | None:
        """The stacks of a vertex's subtasks as a tree; being looked at is what has them gathered.

        None where they are in other processes.
        """
        return self._owners.flame_graph(vertex_id)

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Starts a fresh measurement of a vertex; False when one is under way or none can be."""
        return self._owners.sample_back_pressure(vertex_id)

    # -- records from outside ---

    @abstractmethod
    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Writes values from outside as user commands, each to its key's partition or to the one that is named.

        Returns once they are durable, or with the refusal of a limit, and then nothing was written. Raises
        `WrongRecordError` and `WriteFailedError`.
        """

    # -- limits ---

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        """The settings in force, by partition; raises `NotReadyError` as all about limits until it has started."""
        return {n: self._flow_control if o is None else o.settings for n, o in self.flow_overrides().items()}

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        """What each partition's request limiter has come to; None while it is disabled, or its owner is away."""
        check_ready(self._life.state)
        return self._owners.request_limiter_states()

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        """The settings that every partition starts with and goes back to."""
        return self._flow_control

    def flow_overrides(self) -> Mapping[int, Override | None]:
        """What was set by hand, by partition; None where the configured settings hold."""
        check_ready(self._life.state)
        return self._owners.overrides()

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        """Sets the limits of the named partitions by hand, at once; after `ttl_ns` the configured ones come back.

        Raises `ConfigurationError`, or `NotReadyError` unless it runs and can reach all owners, and changes none. It is
        one too when an owner does not confirm it in time; that one has it when it is back.
        """
        overrides = set_by_hand(settings, wall_ns=self._clock.wall_ns(), ttl_ns=ttl_ns, by=by)
        self._override(overrides, by=by)

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        """Brings the configured limits back, on all partitions or those named. Raises as `apply_flow_control`."""
        check_ready(self._life.state)
        self._override(dict.fromkeys(self._owners.numbers if partitions is None else partitions), by=by)

    def _override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> None:
        check_running(self._life.state)
        unknown = sorted({*overrides} - {*self._owners.numbers})
        if unknown:
            raise ConfigurationError(f"there is no partition {unknown[0]}")
        if overrides:
            self._owners.override(overrides, by=by)

    def throttling_episodes(self) -> tuple[Episode, ...]:
        """The throttling episodes of all partitions by their start; those that still run have no end."""
        check_ready(self._life.state)
        return by_start(self._owners.episodes())

    def limit_changes(self) -> tuple[LimitChanged, ...]:
        """The last changes of the write limits of all partitions with their reasons, oldest first."""
        check_ready(self._life.state)
        return by_time(self._owners.limit_changes())

    # -- exporters ---

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        """Holds a record exporter where it is, or lets it go on; over restarts, too.

        `soft`: it exports, and what it has acknowledged stays where it is. Raises `ConfigurationError` and changes
        nothing; `NotReadyError` as `apply_flow_control`.
        """
        self._check_exporter(name)
        pause = Pause(soft=soft, since_wall_ns=self._clock.wall_ns(), by=by) if paused else None
        self._owners.pause(name, pause)

    def pace_exporter(self, name: str, records_per_second: float | None) -> None:
        """Limits how fast each partition's instance of an exporter hands records over; None takes it away."""
        self._check_exporter(name)
        self._owners.pace(name, records_per_second)

    def _check_exporter(self, name: str) -> None:
        if name not in self._owners.exporters:
            raise ConfigurationError(f"there is no exporter {name!r}")

    # -- rejects ---

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        """What was set aside by a task and is kept in this data folder, oldest first, at most so many.

        Raises `ConfigurationError` where there is nothing of it.
        """
        return [*islice(self._rejects.lines(task), most)]

    def drop_rejects(self, task: str) -> int:
        """Deletes what was set aside by a task; how much it was. Raises as `rejects`."""
        return self._rejects.drop(task)

    def replay_rejects(self, task: str) -> int:
        """Tries again what was set aside by a task, soon and each once; how much it is. Raises as `rejects`."""
        return self._rejects.set_out(task, self._clock.wall_ns())
