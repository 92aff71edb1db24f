"""Hands events to those who watch, each at its own pace: a slow one loses its place, never slows another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

# Watchers at once. A browser has one per open page.
CLIENTS_MAX = 16
# Two minutes of samples, for who was cut off; a longer gap is filled from the history.
REPLAY_EVENTS_MAX = 128
REPLAY_BYTES_MAX = 4 * 1024 * 1024
# How far a watcher may fall behind before it is dropped.
WAITING_EVENTS_MAX = 192


class TooManyClientsError(Exception):
    """All places are taken."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: a name, a JSON text without line ends, and an id that rises."""

    id: str
    name: str
    data: bytes


class Subscription:
    """What one watcher has still to be told."""

    def __init__(self, lock: Lock, waiting: deque[Event], wake: Callable[[], None]) -> None:
        # The feed's own; it guards the two below.
        self._lock = lock
        self._waiting = waiting
        self._is_over = False
        self._wake = wake

    def take(self) -> list[Event]:
        """All that waits, oldest first."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken

    @property
    def is_over(self) -> bool:
        """True when nothing more will come: the feed is closed, or the watcher was too slow."""
        return self._is_over

    def tell(self, event: Event) -> bool:
        """Adds an event and wakes the watcher; False, and over, when too many wait already. Under the lock."""
        if len(self._waiting) >= WAITING_EVENTS_MAX:
            self._waiting.clear()
            self.end()
            return False
        self._waiting.append(event)
        self._wake()
        return True

    def end(self) -> None:
        """Nothing more will come. Under the lock."""
        self._is_over = True
        self._wake()


class Feed:
    """The newest events and their watchers. Any thread may call any method; none waits for a watcher.

    An id is the feed's own number and the event's: `18f3-42`. After a restart of the process old ids belong to no
    feed, so that nobody takes one event for another.
    """

    def __init__(self, *, number: int) -> None:
        self._number = f"{number:x}"
        self._lock = Lock()
        # All below are guarded by it.
        self._recent: deque[Event] = deque()
        self._recent_bytes = 0
        self._published = 0
        self._subscriptions: set[Subscription] = set()
        self._is_closed = False
        # Watchers that were too slow, since the start.
        self.dropped = 0

    @property
    def newest_id(self) -> str:
        """The id of the last event; a watcher that names it gets all that follow."""
        with self._lock:
            return self._id(self._published)

    @property
    def watchers(self) -> int:
        with self._lock:
            return len(self._subscriptions)

    def publish(self, name: str, data: bytes) -> None:
        """Tells everybody."""
        assert b"\n" not in data, "one line an event"
        with self._lock:
            self._published += 1
            event = Event(self._id(self._published), name, data)
            self._recent.append(event)
            self._recent_bytes += len(data)
            while len(self._recent) > REPLAY_EVENTS_MAX or self._recent_bytes > REPLAY_BYTES_MAX:
                self._recent_bytes -= len(self._recent.popleft().data)
            slow = {subscription for subscription in self._subscriptions if not subscription.tell(event)}
            self._subscriptions -= slow
            self.dropped += len(slow)

    def subscribe(self, wake: Callable[[], None], *, after: str | None = None) -> Subscription:
        """A place for a watcher; `wake` is called, from any thread, when there is something to take.

        With `after`, the id of the last event it saw, those that followed come first; `reset` comes first when they
        are gone. Raises `TooManyClientsError`.
        """
        with self._lock:
            if len(self._subscriptions) >= CLIENTS_MAX:
                raise TooManyClientsError
            subscription = Subscription(self._lock, self._since(after), wake)
            if self._is_closed:
                subscription.end()
            else:
                self._subscriptions.add(subscription)
            return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Gives the place back. May be repeated."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Ends every subscription, those to come too."""
        with self._lock:
            self._is_closed = True
            for subscription in self._subscriptions:
                subscription.end()
            self._subscriptions.clear()

    def _id(self, event: int) -> str:
        return f"{self._number}-{event}"

    def _since(self, after: str | None) -> deque[Event]:
        if after is None:
            return deque()
        number, _, written = after.partition("-")
        # Digits alone: int() would forgive blanks, signs and underscores. Its length is bounded, too.
        seen = int(written) if written.isascii() and written.isdigit() and len(written) < 20 else None
        oldest = self._published - len(self._recent)
        if number != self._number or seen is None or not oldest <= seen <= self._published:
            return deque([Event(self._id(self._published), "reset", b"{}")])
        return deque(list(self._recent)[seen - oldest :])
