"""The partitions that are open in this instance: a mapping that changes as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Condition, Lock

from engine.core.errors import AppendError
from engine.core.unit import Message
from engine.partition.partition import Partition

_FIRST_BATCH_RECORDS = 500


class PartitionsHere(Mapping[int, Partition]):
    """Who iterates sees one moment of it. A partition that leaves waits a while for those who have it in hand."""

    def __init__(self) -> None:
        self._changed = Condition(Lock())
        # Replaced as a whole under the lock; read without.
        self._now: Mapping[int, Partition] = {}
        # Guarded by _changed: calls under way, by partition, and those that take no new ones.
        self._in_hand: Counter[int] = Counter()
        self._leaving: set[int] = set()

    def __getitem__(self, number: int) -> Partition:
        return self._now[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def put(self, partition: Partition) -> None:
        with self._changed:
            self._leaving.discard(partition.number)
            self._now = dict(sorted({**self._now, partition.number: partition}.items()))

    def remove(self, number: int, patience_seconds: float) -> None:
        """Nobody gets it any more; returns when all have let go of it, or after a while."""
        with self._changed:
            if number not in self._now:
                return
            self._leaving.add(number)
            self._changed.wait_for(lambda: not self._in_hand[number], patience_seconds)
            self._now = {n: partition for n, partition in self._now.items() if n != number}
            self._leaving.discard(number)

    @contextmanager
    def held(self, numbers: Collection[int]) -> Iterator[frozenset[int]]:
        """Those of them that are here, which stay for the time of the `with`."""
        with self._changed:
            here = frozenset(n for n in numbers if n in self._now and n not in self._leaving)
            self._in_hand.update(here)
        try:
            yield here
        finally:
            with self._changed:
                self._in_hand.subtract(here)
                self._changed.notify_all()


class Neighbour:
    """A partition as those see it that send it messages, where these travel by hand: it may not be here just now."""

    def __init__(self, number: int, here: PartitionsHere) -> None:
        self._number = number
        self._here = here

    def suggested_batch_records(self) -> int:
        partition = self._here.get(self._number)
        return _FIRST_BATCH_RECORDS if partition is None else partition.suggested_batch_records()

    def receive(self, sender: int, messages: Sequence[Message]) -> None:
        # Not held: it may wait for a permit, and a partition that leaves ends that wait.
        partition = self._here.get(self._number)
        if partition is None:
            raise AppendError(f"partition {self._number} is not open here just now", passing=True)
        partition.receive(sender, messages)
