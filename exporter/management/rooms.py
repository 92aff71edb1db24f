"""Several engines behind one port: `?pipeline=` says which of them is meant."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.door import NS_PER_SECOND, Clock, EngineDoor, SystemClock, engines_of
from exporter.history import HistorySampler
from exporter.management.replies import problem

PARAMETER = "pipeline"
# Those beyond have metrics, but no history and no page. With as many vertices each, together below 135 MB.
ROOMS_MAX = 64
_VERTICES_MAX = 32
# A pipeline that is away for so long has no history left.
_KEPT_NS = 900 * NS_PER_SECOND


class Room:
    """What belongs to one engine besides the first: its history, and its application once somebody has asked for it."""

    def __init__(self, engine: EngineDoor, clock: Clock) -> None:
        self.engine = engine
        self.history = HistorySampler(engine, clock=clock, vertices_max=_VERTICES_MAX)
        self.app: Starlette | None = None
        self.seen_ns = clock.monotonic_ns()


class Rooms:
    """A room for every engine that comes; one that has gone is given up after a while.

    `sample` is for one thread, `find` for any.
    """

    def __init__(self, door: EngineDoor, *, clock: Clock | None = None) -> None:
        self._door = door
        self._clock = clock or SystemClock()
        self._lock = Lock()
        # By pipeline; guarded by the lock.
        self._rooms: dict[str, Room] = {}

    def sample(self) -> None:
        """Looks at all engines but the first, for their histories. Never raises."""
        now_ns = self._clock.monotonic_ns()
        here = {engine.snapshot().pipeline: engine for engine in engines_of(self._door)[1:]}
        with self._lock:
            for name, room in list(self._rooms.items()):
                if name in here and here[name] is room.engine:
                    room.seen_ns = now_ns
                elif name in here or now_ns - room.seen_ns > _KEPT_NS:
                    room.history.stop()
                    del self._rooms[name]
            for name, engine in here.items():
                if name not in self._rooms and len(self._rooms) < ROOMS_MAX:
                    self._rooms[name] = Room(engine, self._clock)
            rooms = [self._rooms[name] for name in here if name in self._rooms]
        for room in rooms:
            room.history.sample()

    def find(self, pipeline: str) -> Room | None:
        """The room of a pipeline that is there at this moment."""
        if all(engine.snapshot().pipeline != pipeline for engine in engines_of(self._door)[1:]):
            return None
        with self._lock:
            return self._rooms.get(pipeline)

    def first(self) -> str:
        """The name of the engine that speaks for all of them."""
        return self._door.snapshot().pipeline

    def close(self) -> None:
        with self._lock:
            for room in self._rooms.values():
                room.history.stop()
            self._rooms.clear()


class Choice:
    """ASGI middleware: hands a request that names another pipeline than the first to the application of that one."""

    def __init__(
        self, app: ASGIApp, rooms: Rooms | None, open_room: Callable[[EngineDoor, HistorySampler], Starlette]
    ) -> None:
        self._app = app
        self._rooms = rooms
        self._open_room = open_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._rooms is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        wanted = [value for name, value in pairs if name == PARAMETER]
        rest = urlencode([(name, value) for name, value in pairs if name != PARAMETER])
        app = self._app
        if wanted:
            scope = {**scope, "query_string": rest.encode("latin-1")}
            if wanted[0] != self._rooms.first():
                room = self._rooms.find(wanted[0])
                if room is None:
                    answer = problem(404, f"there is no pipeline {wanted[0]!r} here at this moment; see /api/pipelines")
                    await answer(scope, receive, send)
                    return
                if room.app is None:
                    room.app = self._open_room(room.engine, room.history)
                app = room.app
        await app(scope, receive, send)
