"""Running engines behind a management port: in one process, and over two workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from engine import Engine, EngineOptions, FlowControlSettings, Override, RequestLimiterState
from engine.core.snapshot import EngineSnapshot, VertexBackPressure
from engine.flow.episodes import Episode
from engine.workers.engine import WorkerEngine
from exporter.management import ManagementServer
from tests.support.worker_pipelines import engine_of

# What a test of the surfaces is run with, and how its runs are called.
WORKERS = (1, 2)
WORKERS_IDS = ("one-process", "two-workers")
IN_MEMORY = EngineOptions(storage="memory", run_forever=True)


class NotedEngine:
    """Hands all on to a running engine, and notes what that was asked to change."""

    def __init__(self, running: Engine | WorkerEngine) -> None:
        self.running = running
        # As `FakeEngine` keeps them: the last one last.
        self.applied: list[tuple[Mapping[int, FlowControlSettings], int | None]] = []
        self.reverted: list[tuple[int, ...]] = []

    def as_new(self) -> None:
        """The configured limits hold, and nothing is noted."""
        self.running.revert_flow_control()
        self.applied.clear()
        self.reverted.clear()

    @property
    def settings(self) -> Mapping[int, FlowControlSettings]:
        """In force. What is set this way is not noted: it is what a test begins with."""
        return self.running.flow_settings()

    @settings.setter
    def settings(self, wanted: Mapping[int, FlowControlSettings]) -> None:
        self.running.apply_flow_control(wanted)

    # -- the exporter's door ---

    def snapshot(self) -> EngineSnapshot:
        return self.running.snapshot()

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        return self.running.look_at_back_pressure(vertex_id)

    def sample_back_pressure(self, vertex_id: str) -> bool:
        return self.running.sample_back_pressure(vertex_id)

    def pause_exporter(self, name: str, *, paused: bool, soft: bool = False, by: str | None = None) -> None:
        self.running.pause_exporter(name, paused=paused, soft=soft, by=by)

    def rejects(self, task: str, most: int) -> Sequence[Mapping[str, Any]]:
        return self.running.rejects(task, most)

    def replay_rejects(self, task: str) -> int:
        return self.running.replay_rejects(task)

    def drop_rejects(self, task: str) -> int:
        return self.running.drop_rejects(task)

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        return self.running.flow_settings()

    def request_limiter_states(self) -> Mapping[int, RequestLimiterState | None]:
        return self.running.request_limiter_states()

    @property
    def configured_flow_settings(self) -> FlowControlSettings:
        return self.running.configured_flow_settings

    def flow_overrides(self) -> Mapping[int, Override | None]:
        return self.running.flow_overrides()

    def apply_flow_control(
        self, settings: Mapping[int, FlowControlSettings], *, ttl_ns: int | None = None, by: str | None = None
    ) -> None:
        self.applied.append((dict(settings), ttl_ns))
        self.running.apply_flow_control(settings, ttl_ns=ttl_ns, by=by)

    def revert_flow_control(self, partitions: Iterable[int] | None = None, *, by: str | None = None) -> None:
        numbers = None if partitions is None else tuple(partitions)
        self.reverted.append(tuple(self.settings) if numbers is None else numbers)
        self.running.revert_flow_control(numbers, by=by)

    def throttling_episodes(self) -> tuple[Episode, ...]:
        return self.running.throttling_episodes()


@dataclass(frozen=True)
class NotedPort:
    """The server, the running engine behind it and a client in front of it."""

    engine: NotedEngine
    server: ManagementServer
    client: httpx.Client


@contextmanager
def noted_port(folder: Path, *, workers: int, configured: FlowControlSettings | None = None) -> Iterator[NotedPort]:
    """A port before an engine of two partitions in which nothing happens by itself."""
    running = engine_of("still", folder, workers=workers, flow_control=configured, options=IN_MEMORY)
    with running:
        engine = NotedEngine(running)
        server = ManagementServer(engine, port=0, allowed_hosts=["penstock.example"])
        with server, httpx.Client(base_url=server.url, timeout=60) as client:
            yield NotedPort(engine, server, client)
        running.stop(drain=False)
