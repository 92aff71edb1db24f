"""The partitions of one instance: those that belong here, from their opening to their closing, and what they leave."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from threading import Lock

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import NewerFormatError, TaskFailedError
from engine.core.snapshot import ClosedSnapshot, EngineSnapshot, PartitionSnapshot
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged
from engine.instances.attendant import Attendant
from engine.instances.here import PartitionsHere
from engine.instances.tenant import Tenant
from engine.runtime.counters import added

log = logging.getLogger("penstock.instances")

# How long a partition that leaves waits for calls of the gateway that have it in hand.
_LET_GO_SECONDS = 1.0
# How many ended episodes and changes of limits are kept of partitions that are gone.
_HISTORY_MAX = 500
_LOST_SECONDS = 5.0

Lease = Callable[[int, Callable[[], None]], Tenant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an instance can say of partitions at one moment."""

    # Those that run here, and those that belong here and do not.
    running: tuple[EngineSnapshot, ...]
    closed: tuple[ClosedSnapshot, ...]
    # What partitions counted here that are another one's by now, or may be.
    departed: tuple[PartitionSnapshot, ...]


class Roster:
    """Implements `House` for the attendants, and what an `Owner` is told for the instance.

    Any thread may look. `handover_ns` is how long one that is taken may take to be closed.
    """

    def __init__(
        self,
        clock: Clock,
        lease: Lease,
        *,
        changed: Callable[[], None],
        stopped_by: Callable[[int, BaseException, int | None], None],
        unfit: Callable[[str], None],
        handover_ns: int,
        patience_ns: int,
    ) -> None:
        """`changed`: something was opened or closed; `stopped_by`: a task failed whose policy is to stop it all;
        `unfit`: this version can do nothing with a partition that others can open."""
        self.here = PartitionsHere()
        self._clock = clock
        self._lease = lease
        self._changed = changed
        self._stopped_by = stopped_by
        self._unfit = unfit
        self._handover_seconds = handover_ns / NS_PER_SECOND
        self._patience_ns = patience_ns
        self._lock = Lock()
        # All guarded by the lock.
        self._attendants: dict[int, Attendant] = {}
        self._owned: set[int] = set()
        # Those that are being given back and are ours until then.
        self._leaving: set[int] = set()
        # What partitions counted here: in lives before the last one, and in that one's last words.
        self._before: dict[int, PartitionSnapshot] = {}
        self._last_words: dict[int, PartitionSnapshot] = {}
        self._episodes: deque[Episode] = deque(maxlen=_HISTORY_MAX)
        self._limit_changes: deque[LimitChanged] = deque(maxlen=_HISTORY_MAX)
        # Partitions that came, were given back, and were taken without being asked for.
        self.moves = {"joined": 0, "left": 0, "lost": 0}

    # -- what belongs here ---

    def given(self, partitions: Iterable[int]) -> None:
        for number in sorted(partitions):
            self.moves["joined"] += 1
            self._attendant(number).give()
        self._changed()

    def _attendant(self, number: int) -> Attendant:
        with self._lock:
            self._owned.add(number)
            attendant = self._attendants.get(number)
            if attendant is None:
                attendant = Attendant(number, self, self._clock, patience_ns=self._patience_ns)
                self._attendants[number] = attendant
            return attendant

    def taken(self, partitions: Iterable[int]) -> None:
        """Closes them, and waits for it as long as it may take."""
        self._take(partitions, has_right=True, why="left", seconds=self._handover_seconds)

    def lost(self, partitions: Iterable[int]) -> None:
        """Closes them as they stand, and does not wait."""
        self._take(partitions, has_right=False, why="lost", seconds=0)

    def _take(self, partitions: Iterable[int], *, has_right: bool, why: str, seconds: float) -> None:
        numbers = sorted(partitions)
        with self._lock:
            self._owned -= {*numbers}
            self._leaving |= {*numbers} if has_right else set()
            attendants = {n: self._attendants[n] for n in numbers if n in self._attendants}
        for attendant in attendants.values():
            self.moves[why] += 1
            attendant.take(has_right=has_right)
        deadline = time.monotonic() + seconds
        late = [n for n, one in attendants.items() if seconds and not one.wait_closed(deadline - time.monotonic())]
        with self._lock:
            self._leaving -= {*numbers}
        if late:
            log.warning(
                "partition %s was not closed in %g s and is given away all the same: its new owner fences it",
                ", ".join(map(str, late)),
                seconds,
            )

    def retry(self, number: int) -> bool:
        """Lets a partition that has failed try again; False where it has not failed here."""
        with self._lock:
            attendant = self._attendants.get(number)
        return attendant is not None and attendant.retry()

    def close(self) -> None:
        """Takes what is still there."""
        with self._lock:
            owned, attendants = sorted(self._owned), list(self._attendants.values())
        self._take(owned, has_right=True, why="left", seconds=max(self._handover_seconds, _LOST_SECONDS))
        for attendant in attendants:
            attendant.end()

    @property
    def owned(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._owned)

    # -- what the attendants tell; `House` ---

    def lease(self, number: int, ended: Callable[[], None]) -> Tenant:
        with self._lock:
            last = self._last_words.pop(number, None)
            if last is not None:
                before = self._before.get(number)
                self._before[number] = last if before is None else added(before, last)
        return self._lease(number, ended)

    def opened(self, tenant: Tenant) -> None:
        self.here.put(tenant.partition)
        self._changed()

    def leaving(self, tenant: Tenant) -> None:
        """What it counted goes on counting where it is one number for all partitions."""
        seen = {p.partition: p for p in tenant.snapshot().partitions}.get(tenant.number)
        gate = tenant.partition.gate
        now_ns = self._clock.wall_ns()
        episodes = [e if e.end_wall_ns is not None else replace(e, end_wall_ns=now_ns) for e in gate.episodes()]
        changes = gate.limit_changes()
        with self._lock:
            self._episodes.extend(episodes)
            self._limit_changes.extend(changes)
            if seen is not None:
                self._last_words[tenant.number] = _last_words(seen)

    def closing(self, tenant: Tenant) -> None:
        self.here.remove(tenant.number, _LET_GO_SECONDS)

    def closed(self, number: int, *, has_right: bool) -> None:
        self._changed()

    def failed(self, number: int, failure: BaseException, position: int | None) -> None:
        if isinstance(failure, NewerFormatError):
            self._unfit(str(failure))
        # Of the failures of a task those are its policy's that it says itself.
        if isinstance(failure, TaskFailedError) and isinstance(failure.__cause__, TaskFailedError):
            self._stopped_by(number, failure.__cause__, position)
        self._changed()

    # -- looking ---

    def tenants(self) -> tuple[Tenant, ...]:
        """Those whose partitions run, in their order."""
        with self._lock:
            attendants = sorted(self._attendants.items())
        found = (attendant.tenant for _, attendant in attendants)
        return tuple(tenant for tenant in found if tenant is not None)

    def closed_seen(self) -> tuple[ClosedSnapshot, ...]:
        with self._lock:
            attendants = sorted(self._attendants.items())
        found = (attendant.seen() for _, attendant in attendants)
        return tuple(seen for seen in found if seen is not None)

    def seen(self, *, is_in_doubt: bool = False) -> Seen:
        """Each partition that belongs here, once; none where all of them may be another one's by now.

        What is lost, or could not be closed in the time that it had, is its next owner's to tell of, however long it
        takes to be closed here.
        """
        found = [(tenant.number, tenant.snapshot()) for tenant in self.tenants()]
        closed = self.closed_seen()
        with self._lock:
            ours = set() if is_in_doubt else self._owned | self._leaving
            numbers = {number for number, _ in found}
            before = [*self._before.values(), *(seen for n, seen in self._last_words.items() if n not in numbers)]
        known = tuple(snapshot for number, snapshot in found if snapshot.partitions and number in ours)
        hidden = [_last_words(p) for number, snapshot in found if number not in ours for p in snapshot.partitions]
        running = {p.partition for snapshot in known for p in snapshot.partitions}
        return Seen(
            running=known,
            closed=tuple(seen for seen in closed if seen.partition in ours - running),
            departed=(*before, *hidden),
        )

    def episodes(self) -> list[Episode]:
        with self._lock:
            before = list(self._episodes)
        return before + [episode for tenant in self.tenants() for episode in tenant.partition.gate.episodes()]

    def limit_changes(self) -> list[LimitChanged]:
        with self._lock:
            before = list(self._limit_changes)
        return before + [change for tenant in self.tenants() for change in tenant.partition.gate.limit_changes()]


def _last_words(seen: PartitionSnapshot) -> PartitionSnapshot:
    """What is told by partition, as writes and throttles are, goes with it."""
    return replace(seen, exporters=(), flow=replace(seen.flow, writes={}, throttled_ns=0, throttles=0))
