"""What every port of ours needs."""

from __future__ import annotations

import asyncio
import socket

from exporter.http_server import listen


def test_a_short_answer_is_sent_at_once_and_not_kept_until_the_one_before_is_acknowledged() -> None:
    async def is_sent_at_once() -> bool:
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted: socket.socket = writer.get_extra_info("socket")
            asked.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = listen("127.0.0.1", 0, 5)
        async with await asyncio.start_server(take, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = bool(await asked)
            writer.close()
            return found

    assert asyncio.run(is_sent_at_once())
