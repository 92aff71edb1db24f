"""Serves the gateway from a thread of its own, beside the engine and the management port."""

from __future__ import annotations

from functools import partial
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self

import uvicorn

from engine.core.snapshot import GatewaySnapshot
from exporter.crowd import Crowd
from exporter.descriptors import places
from exporter.door import NS_PER_SECOND, Clock, IntakeDoor, PenstockError, SharedIntakeDoor, SystemClock
from exporter.gateway.answers import come_back
from exporter.gateway.app import GatewayApp
from exporter.gateway.connection import Connection, House
from exporter.gateway.forwarding import HttpForward
from exporter.gateway.settings import GatewaySettings
from exporter.gateway.tally import Tally
from exporter.http_server import HttpServer, listen, reached_by_others, url_of
from exporter.management.workers import Workers
from exporter.seldom import seldom_logger
from exporter.web_config import Access

# Each holds one request while it is parsed and committed. They mostly wait for the disk, and those who wait together
# share a commit: with fewer of them durable writes fall behind (benchmarks/gateway.py).
_WRITING_AT_ONCE = 128
_CHECKS_AT_ONCE = 1
_CHECKS_WAITING_MAX = 20
_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 2
_START_SECONDS_MAX = 10
_STOP_SECONDS_MAX = 4
# How long a client that was answered keeps its place when others want it.
_KEPT_SECONDS = 5.0
_TURNED_AWAY = come_back(503, "too many connections", 1)


class GatewayServer:
    """The gateway of one engine. `start` and `stop` are for one thread; both return within seconds.

    Open as long as it was started and not stopped; while the engine does not run it answers 503. Port 0 takes a free
    one, which `port` tells from `start` on. `access` brings TLS and users, of whom those who may change may write.
    """

    def __init__(
        self,
        engine: IntakeDoor,
        settings: GatewaySettings | None = None,
        *,
        access: Access | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or GatewaySettings()
        self.port = self.settings.port
        self._engine = engine
        self._access = access or Access()
        self._tls = self._access.config.tls()
        self._clock = clock or SystemClock()
        self._tally = Tally(self._clock)
        self._crowd = Crowd(self.settings.connections_max, kept_seconds=_KEPT_SECONDS, now=monotonic)
        self._server: HttpServer | None = None
        self._thread: Thread | None = None
        self._workers: tuple[Workers, ...] = ()
        # The way to other instances, where some share the pipeline.
        self._forward: HttpForward | None = None

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return url_of(self.settings.host, self.port, scheme) + self.settings.context_path

    def start(self) -> Self:
        """Returns once requests are answered. Raises `PenstockError` if the port cannot be had."""
        assert self._thread is None, "started once"
        room = places("gateway", connections=self.settings.connections_max, backlog=_BACKLOG)
        listener = listen(self.settings.host, self.port, room.backlog)
        self.port = listener.getsockname()[1]
        self._crowd = crowd = Crowd(room.connections, kept_seconds=_KEPT_SECONDS, now=monotonic)
        writers = Workers("gateway", threads=_WRITING_AT_ONCE, waiting_max=room.connections)
        for_instances = Workers("gateway-instances", threads=_WRITING_AT_ONCE, waiting_max=room.connections)
        checks = Workers("gateway-passwords", threads=_CHECKS_AT_ONCE, waiting_max=_CHECKS_WAITING_MAX)
        self._workers = (writers, for_instances, checks)
        tls = self._tls
        house = House(
            crowd=crowd,
            request_seconds_max=self.settings.request_timeout_ns / NS_PER_SECOND,
            tally=self._tally,
            logger=seldom_logger("penstock.gateway.http"),
        )
        config = uvicorn.Config(
            GatewayApp(self._engine, self.settings, self._access, writers, for_instances, checks, self._tally),
            loop="uvloop",
            http=Connection,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        self._server = server = HttpServer(
            config,
            crowd,
            partial(Connection, house=house),
            turned_away=lambda: self._tally.answered(_TURNED_AWAY),
        )
        self._thread = Thread(target=server.serve_on, args=(listener,), name="penstock-gateway", daemon=True)
        self._thread.start()
        if not server.settled.wait(_START_SECONDS_MAX) or not server.started:
            self.stop()
            listener.close()
            raise PenstockError(f"the gateway's port {self.port} could not be opened; the log says why")
        self._engine.attach_gateway(self.snapshot)
        if isinstance(self._engine, SharedIntakeDoor):
            self._forward = HttpForward(self._clock)
            self._engine.forward_by(self._forward)
            self._engine.reached_at(gateway=reached_by_others(self.url, self.settings.host))
        return self

    def snapshot(self) -> GatewaySnapshot:
        """What it has done, also when it is closed again. From any thread."""
        crowd = self._crowd
        return self._tally.snapshot(
            connections=0 if self._server is None else len(crowd), refused=crowd.refused, malformed=crowd.malformed
        )

    def stop(self) -> None:
        """Closes the port; what is being written is answered first. Does nothing when it is closed."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS_MAX)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(_STOP_SECONDS_MAX)
        for workers in self._workers:
            workers.stop()
        if self._forward is not None:
            self._forward.close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
