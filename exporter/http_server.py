"""What every port of ours needs: a socket with a clear reason when it cannot be had, and a server that tells."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Callable
from threading import Event

import uvicorn

from exporter.acceptor import Acceptor
from exporter.crowd import Crowd, Guest
from exporter.door import PenstockError

_PORT_MAX = 65535


class PortError(PenstockError):
    """A port cannot be had where it was asked for; another may be."""


class HttpServer(uvicorn.Server):
    """uvicorn in a thread of the caller's, with an entrance of our own, telling when it has started or given up."""

    def __init__(
        self,
        config: uvicorn.Config,
        crowd: Crowd,
        protocol: Callable[..., asyncio.Protocol],
        *,
        turned_away: Callable[[], None] | None = None,
    ) -> None:
        """`protocol` makes one for a connection, from what uvicorn gives its own and from the `guest`.

        `turned_away` is called for each connection that found no place.
        """
        super().__init__(config)
        self.settled = Event()
        self._crowd = crowd
        self._protocol = protocol
        self._turned_away = turned_away

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Everything but listening.
        await super().startup([])
        for listener in sockets or ():
            acceptor = Acceptor(
                listener,
                self._crowd,
                protocol=self._protocol_of,
                tls=self.config.ssl,
                turned_away=self._turned_away,
            )
            acceptor.open()
            # uvicorn closes whatever stands here.
            self.servers.append(acceptor)  # type: ignore[arg-type]
        self.settled.set()

    def _protocol_of(self, guest: Guest) -> asyncio.Protocol:
        return self._protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, guest=guest
        )

    def serve_on(self, listener: socket.socket) -> None:
        """Serves until `should_exit` is set, and closes the socket."""
        try:
            self.run(sockets=[listener])
        finally:
            listener.close()
            self.settled.set()


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket. Raises `PortError` with one sentence when it cannot be had."""
    if not 0 <= port <= _PORT_MAX:
        raise PortError(f"a port lies between 0 and {_PORT_MAX}, not at {port}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise PortError(f"host {host!r} cannot be resolved") from None
    # By its protocol asyncio knows that it may send at once what is short: without, each answer over a connection that
    # stays open waits 40 ms for the client's acknowledgement of its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A port that was open a moment ago may be taken again at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise PortError(_why(error, host, port)) from None
    return listener


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """How a client on this machine reaches a port."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def reached_by_others(url: str, host: str) -> str:
    """The same for a client on another machine, where the port is open to these: by the name of this one."""
    if host not in ("0.0.0.0", "::"):
        return url
    return re.sub(r"//(\[::1\]|127\.0\.0\.1):", f"//{socket.gethostname()}:", url)


def _why(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is in use"
        case errno.EACCES:
            return f"port {port} on {host} may not be opened by this user"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine"
        case _:
            return f"port {port} on {host} cannot be opened: {error.strerror or error}"
