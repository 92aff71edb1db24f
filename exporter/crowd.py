"""Who is in at a port: bounded in number, and with room for whoever comes next while somebody rests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable


class Guest:
    """One connection, from the moment it is accepted to its end; before TLS has been agreed on it has no transport."""

    __slots__ = ("is_known", "sock", "transport")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.transport: asyncio.Transport | None = None
        # Whether a request of it was answered.
        self.is_known = False

    def cut_off(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            return
        # It may have gone by itself.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class Crowd:
    """All guests of one port. The thread of its event loop alone changes it; any thread may read the numbers.

    A guest rests while nothing of it is under way: it has asked for nothing yet, its request is not complete, it was
    answered, or it leaves its answer unread. When all places are taken, the one that rests longest makes way for the
    next, strangers before those who were answered; so a crowd of idle or slow ones keeps nobody out. Whoever is
    working stays; what may work at the same time is bounded elsewhere.
    Invariant: who rests is in exactly one of the two orders, the longest first; who works is in neither.
    """

    def __init__(self, places: int, *, kept_seconds: float, now: Callable[[], float]) -> None:
        """Who was answered keeps its place for `kept_seconds`, for what it may be about to ask next."""
        self.places = places
        # Connections that made way or found no place, and requests that were none.
        self.refused = 0
        self.malformed = 0
        self._kept_seconds = kept_seconds
        self._now = now
        self._guests: set[Guest] = set()
        self._strangers: dict[Guest, None] = {}
        self._resting: dict[Guest, float] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def try_enter(self, guest: Guest) -> bool:
        """Gives a place to a new one, if need be somebody else's."""
        if len(self._guests) >= self.places and not self._make_room():
            self.refused += 1
            return False
        self._guests.add(guest)
        self._strangers[guest] = None
        return True

    def leave(self, guest: Guest) -> None:
        self._guests.discard(guest)
        self.work(guest)

    def work(self, guest: Guest) -> None:
        """A request of it is complete and under way."""
        self._strangers.pop(guest, None)
        self._resting.pop(guest, None)

    def rest(self, guest: Guest) -> None:
        """Nothing of it is under way from now on."""
        if guest not in self._guests:
            return
        self.work(guest)
        if guest.is_known:
            self._resting[guest] = self._now()
        else:
            self._strangers[guest] = None

    def cut_off_all(self) -> None:
        """Those who have not come as far as a transport; the server ends the others."""
        for guest in [guest for guest in self._guests if guest.transport is None]:
            guest.cut_off()

    def _make_room(self) -> bool:
        guest = next(iter(self._strangers), None)
        if guest is None:
            guest, since = next(iter(self._resting.items()), (None, 0.0))
            if guest is None or self._now() - since < self._kept_seconds:
                return False
        self.refused += 1
        self.leave(guest)
        guest.cut_off()
        return True
