"""A management port that is really open, and a client that talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from exporter.door import Clock
from exporter.management import ManagementServer
from tests.support.engines import FakeEngine


@dataclass(frozen=True)
class OpenPort:
    """The server, the engine behind it and a client in front of it."""

    engine: FakeEngine
    server: ManagementServer
    client: httpx.Client


@contextmanager
def open_port(engine: FakeEngine | None = None, *, clock: Clock | None = None) -> Iterator[OpenPort]:
    engine = engine or FakeEngine()
    server = ManagementServer(engine, port=0, allowed_hosts=["penstock.example"], clock=clock)
    with server, httpx.Client(base_url=server.url, timeout=20) as client:
        yield OpenPort(engine, server, client)
