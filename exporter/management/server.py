"""Serves the management port from a thread of its own, beside an engine that runs elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self

import uvicorn

from exporter.catalogue import PortSnapshot
from exporter.crowd import Crowd
from exporter.descriptors import places
from exporter.discreet import without
from exporter.door import Clock, EngineDoor, EnginesDoor, InstancesDoor, PenstockError, Secrets, engines_of
from exporter.history import HistorySampler
from exporter.http_server import HttpServer, listen, reached_by_others, url_of
from exporter.management.app import management_app
from exporter.management.connection import Connection, House
from exporter.management.hosts import HostNames
from exporter.management.rooms import Rooms
from exporter.seldom import seldom_logger
from exporter.web_config import Access

_BACKLOG = 128
# Longer than the usual scrape interval, so that a scraper keeps its connection.
_KEEP_ALIVE_SECONDS = 75
# Beside those who watch, a few scrapers and browsers. More than may work at the same time, so that one of them rests.
_CONNECTIONS_MAX = 256
# How long an answer in progress may take to end once the server stops.
_GRACE_SECONDS = 1
_START_SECONDS_MAX = 10
_STOP_SECONDS_MAX = 3


class ManagementServer:
    """The management port of one engine, or of several behind one door (`EnginesDoor`).

    `start` and `stop` are for one thread; both return within seconds. Open as long as it was started and not stopped;
    the engine need not run. Port 0 takes a free one, which `port` tells from `start` on. `access` brings TLS and users;
    without it the port is plain and open to everybody who can reach it. `pushes` tells how pushes to a collector ended,
    so that `/metrics` can tell it. Nothing that is answered holds one of `secrets`.
    """

    def __init__(
        self,
        engine: EngineDoor,
        *,
        host: str = "127.0.0.1",
        port: int = 9600,
        allowed_hosts: Iterable[str] = (),
        access: Access | None = None,
        pushes: Callable[[], Mapping[str, int]] | None = None,
        secrets: Secrets | None = None,
        clock: Clock | None = None,
        data: Path | None = None,
    ) -> None:
        """`data` is the engine's folder, where the history is kept over a restart; None: it ends with the process."""
        self.host = host
        self.port = port
        self._engine = engine if secrets is None else without(secrets, engine)
        self._names = HostNames(host, allowed_hosts)
        self._access = access or Access()
        self._tls = self._access.config.tls()
        self._pushes = pushes
        self._clock = clock
        self._data = data
        # What the page draws; from start to stop.
        self.history: HistorySampler | None = None
        # None for one engine alone.
        self._rooms: Rooms | None = None
        self._server: HttpServer | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """Where to point a browser on this machine."""
        return url_of(self.host, self.port, "http" if self._tls is None else "https")

    def start(self) -> Self:
        """Returns once requests are answered. Raises `PenstockError` if the port cannot be had."""
        assert self._thread is None, "started once"
        room = places("management port", connections=_CONNECTIONS_MAX, backlog=_BACKLOG)
        listener = listen(self.host, self.port, room.backlog)
        self.port = listener.getsockname()[1]
        rooms = Rooms(self._engine, clock=self._clock) if isinstance(self._engine, EnginesDoor) else None
        self.history = HistorySampler(
            self._engine, clock=self._clock, data=self._data, beside=None if rooms is None else rooms.sample
        )
        self._rooms = rooms
        crowd = Crowd(room.connections, kept_seconds=0, now=monotonic)
        app = management_app(
            self._engine,
            self.history,
            names=self._names,
            access=self._access,
            pushes=self._pushes,
            port=lambda: PortSnapshot(connections=len(crowd), refused=crowd.refused, malformed=crowd.malformed),
            clock=self._clock,
            rooms=rooms,
        )
        tls = self._tls
        config = uvicorn.Config(
            app,
            # By name, so that what else is installed changes nothing.
            loop="asyncio",
            http=Connection,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        house = House(crowd=crowd, logger=seldom_logger("penstock.management.http"))
        self._server = server = HttpServer(config, crowd, partial(Connection, house=house))
        self._thread = Thread(target=server.serve_on, args=(listener,), name="penstock-management", daemon=True)
        self._thread.start()
        for engine in engines_of(self._engine):
            if isinstance(engine, InstancesDoor):
                engine.reached_at(management=reached_by_others(self.url, self.host))
        if not server.settled.wait(_START_SECONDS_MAX) or not server.started:
            self.stop()
            listener.close()
            raise PenstockError(f"the management port {self.port} could not be opened; the log says why")
        self.history.start()
        return self

    def stop(self) -> None:
        """Closes the port and every connection. Does nothing when it is closed."""
        if self._server is None or self._thread is None or self.history is None:
            return
        # Streams end with it, which would otherwise keep their connections open.
        self.history.stop()
        if self._rooms is not None:
            self._rooms.close()
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS_MAX)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(_STOP_SECONDS_MAX)
        self._server = self._thread = self.history = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
