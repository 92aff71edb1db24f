"""Back pressure of any Python program: `watch` a thread or an asyncio task, and serve what is seen."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from engine.backpressure.markers import Function
from engine.backpressure.settings import BackPressureSettings
from engine.backpressure.watcher import Watchable, Watcher
from engine.core.snapshot import EngineSnapshot, VertexBackPressure
from penstock.bridges.door import WithoutFlowControl


def watch(
    watched: Watchable,
    name: str,
    markers: Iterable[Function] | None = None,
    *,
    idle: Iterable[Function] | None = None,
    program: str | None = None,
    settings: BackPressureSettings | None = None,
) -> Watch:
    """Begins to watch a thread or an asyncio task, until the `Watch` is stopped.

    It is held back while one of `markers` stands on its stack, and idle while one of `idle` does; without a word those
    are `put` and `get` of the standard queues. `program` is the label of the metrics, at first the name of the script.
    Raises `ConfigurationError` for what has ended, and for a marker that is not written in Python.
    """
    return Watch(program=program, settings=settings).watch(watched, name, markers, idle=idle)


class Watch(WithoutFlowControl):
    """What is being watched. Add to it with `watch`, read it with `snapshot`, serve it with `serve`.

    To the exporter it is an engine without partitions.
    """

    def __init__(self, *, program: str | None = None, settings: BackPressureSettings | None = None) -> None:
        self._watcher = Watcher(program=program, settings=settings)

    def watch(
        self,
        watched: Watchable,
        name: str,
        markers: Iterable[Function] | None = None,
        *,
        idle: Iterable[Function] | None = None,
    ) -> Self:
        """One more thread or task; those of one name are told apart by a number."""
        is_thread = isinstance(watched, threading.Thread)
        put, get = (queue.Queue.put, queue.Queue.get) if is_thread else (asyncio.Queue.put, asyncio.Queue.get)
        self._watcher.add(
            watched, name, markers=(put,) if markers is None else markers, idle=(get,) if idle is None else idle
        )
        self._watcher.start()
        return self

    def stop(self) -> None:
        """Looks no more; what was seen stays readable."""
        self._watcher.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def serve(self, port: int = 9600, *, host: str = "127.0.0.1") -> Iterator[str]:
        """Serves `/metrics`, the page and Flink's routes; gives the address."""
        # Here, because watching alone needs no web server.
        from exporter.management import ManagementServer

        with ManagementServer(self, host=host, port=port) as server:
            yield server.url

    # -- as an engine ---

    def snapshot(self) -> EngineSnapshot:
        return self._watcher.snapshot()

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        return self._watcher.look_at(vertex_id)

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Never: what is watched is always being sampled."""
        self._watcher.look_at(vertex_id)
        return False
