"""A server for `benchmarks.gateway` to knock at, as one process: `python -m benchmarks.gateway_server KIND FOLDER`.

`full` and `normal` are the gateway over a durable log, with and without a sync at each commit; `bare` is httptools
alone, which parses and appends to the same kind of log on its event loop. Prints its port, and ends with its standard
input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Literal, cast

import httptools
import msgspec
import uvloop
from engine.log.sqlite import SqliteStorage

from engine import EngineOptions, Pipeline, Record, WriteSource
from engine.core.clock import SystemClock
from engine.core.unit import Unit
from engine.log.partition_log import PartitionLog
from exporter.gateway.server import GatewayServer
from exporter.gateway.settings import GatewaySettings


def gateway(synchronous: Literal["FULL", "NORMAL"], folder: Path) -> None:
    options = EngineOptions(synchronous=synchronous, run_forever=True)
    with Pipeline("bench").run(folder, options=options) as engine:
        with GatewayServer(engine, GatewaySettings(port=0)) as server:
            print(server.port, flush=True)
            sys.stdin.read()
        engine.stop(drain=False)


class Bare(asyncio.Protocol):
    """The least that reads a request, appends what it brings and answers."""

    _decode = msgspec.json.Decoder(dict[str, Any]).decode_lines

    def __init__(self, log: PartitionLog) -> None:
        self._log = log
        self._body = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        values = Bare._decode(self._body)
        self._body = b""
        records = [Record("command", "record", "create", "", value) for value in values]
        unit = Unit(source=WriteSource.USER_COMMAND, records=records)
        self._log.append(unit)
        answer = b'{"first":%d}' % unit.first_position
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))


def bare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = PartitionLog(1, SqliteStorage(folder / "bare", synchronous="NORMAL"), SystemClock(), committed=lambda _: None)
    log.open()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Bare(log), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()

    uvloop.run(serve())
    log.close()


def main(kind: str, folder: str) -> None:
    match kind:
        case "full":
            gateway("FULL", Path(folder))
        case "normal":
            gateway("NORMAL", Path(folder))
        case "bare":
            bare(Path(folder))
        case _:
            raise SystemExit(f"no server {kind!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
