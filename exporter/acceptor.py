"""Takes connections off a listening socket, one by one and only while there is a place."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

from exporter.crowd import Crowd, Guest
from exporter.seldom import seldom_logger

# Accepted in one turn of the event loop; then those who are in have theirs.
_AT_ONCE = 32
_HANDSHAKE_SECONDS_MAX = 10.0
# How long nobody is accepted when there is no descriptor left, and when all who are in are working.
_NO_DESCRIPTOR_SECONDS = 0.5
_NO_PLACE_SECONDS = 0.01
# How long a connection that was turned away is kept, so that its client sees why, and how many at the same time.
_LINGER_SECONDS = 1.0
_LINGERING_MAX = 32
_DETAIL = b'{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many connections"}'
_TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"content-type: application/problem+json\r\ncache-control: no-store\r\nretry-after: 1\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_DETAIL), _DETAIL)
)


class Acceptor:
    """Lets guests in to a crowd and gives each a protocol. What uvicorn asks of a server, `close` and `wait_closed`.

    Instead of the event loop's own: that accepts whoever comes, and with TLS tells nobody of a connection before its
    handshake is done, so that silence alone would take all descriptors of the process. Its thread is the event loop's.
    """

    def __init__(
        self,
        listener: socket.socket,
        crowd: Crowd,
        *,
        protocol: Callable[[Guest], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        turned_away: Callable[[], None] | None = None,
    ) -> None:
        """`turned_away` is called for each connection that finds no place; without it they wait to be accepted."""
        self._listener = listener
        self._crowd = crowd
        self._protocol = protocol
        self._tls = tls
        self._turned_away = turned_away
        self._log = seldom_logger("penstock.http")
        self._loop = asyncio.get_running_loop()
        self._greeting: set[asyncio.Task[None]] = set()
        self._lingering: deque[socket.socket] = deque()
        self._is_closed = False

    def open(self) -> None:
        if not self._is_closed:
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._crowd.cut_off_all()
            while self._lingering:
                self._lingering.popleft().close()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self._turned_away is None and not self._crowd.has_room:
                self._pause(_NO_PLACE_SECONDS)
                return
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue
            except OSError as error:
                self._log.warning("a connection cannot be accepted: %s", error.strerror)
                self._pause(_NO_DESCRIPTOR_SECONDS)
                return
            guest = Guest(sock)
            if not self._crowd.try_enter(guest):
                self._turn_away(sock)
                continue
            task = self._loop.create_task(self._greet(guest))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self.open)

    async def _greet(self, guest: Guest) -> None:
        sock = guest.sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(guest),
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_SECONDS_MAX,
            )
        except (OSError, asyncio.CancelledError):
            # It left, or did not agree on TLS in time.
            self._crowd.leave(guest)
            sock.close()

    def _turn_away(self, sock: socket.socket) -> None:
        if self._turned_away is not None:
            self._turned_away()
        if self._tls is not None:
            sock.close()
            return
        try:
            sock.setblocking(False)
            sock.send(_TURNED_AWAY)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        if len(self._lingering) >= _LINGERING_MAX:
            self._lingering.popleft().close()
        self._lingering.append(sock)
        self._loop.call_later(_LINGER_SECONDS, self._forget, sock)

    def _forget(self, sock: socket.socket) -> None:
        if sock in self._lingering:
            self._lingering.remove(sock)
            sock.close()
