"""Who is in at a port: bounded in number, and with room for whoever comes next while somebody rests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

# So long a stranger may take to ask before others have more right to its place.
_NEW_SECONDS = 1.0


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
    next: strangers before those who were answered, but for those who have only just come and are about to ask. So a
    crowd of idle or slow ones keeps nobody out. Whoever is working stays; what may work at once is bounded elsewhere.
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
        self._strangers: dict[Guest, float] = {}
        self._resting: dict[Guest, float] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def try_enter(self, guest: Guest) -> bool:
        """Gives a place to a new one, if need be somebody else's."""
        if len(self._guests) >= self.places and not self._make_room():
            self.refused += 1
            return False
        self._guests.add(guest)
        self._strangers[guest] = self._now()
        return True

    @property
    def has_room(self) -> bool:
        """Whether the next one would get a place."""
        return len(self._guests) < self.places or self._next_to_go() is not None

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
            self._strangers[guest] = self._now()

    def cut_off_all(self) -> None:
        """Those who have not come as far as a transport; the server ends the others."""
        for guest in [guest for guest in self._guests if guest.transport is None]:
            guest.cut_off()

    def _next_to_go(self) -> Guest | None:
        now = self._now()
        stranger, came = next(iter(self._strangers.items()), (None, now))
        known, rests = next(iter(self._resting.items()), (None, now))
        if stranger is not None and now - came >= _NEW_SECONDS:
            return stranger
        if known is not None and now - rests >= self._kept_seconds:
            return known
        return stranger

    def _make_room(self) -> bool:
        guest = self._next_to_go()
        if guest is None:
            return False
        self.refused += 1
        self.leave(guest)
        guest.cut_off()
        return True
