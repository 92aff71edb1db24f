"""What was committed and is not in the database yet: many units folded into what is left of them."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from engine.core.records import WriteSource
from engine.core.unit import Acknowledgement, Message, Recovered, SourceProgress, Timer, Unit
from engine.log.rows import tables
from engine.log.rows.changes import Changes


class CommitHead(Protocol):
    """What a fold must know of a commit: its number, which positions it has, how long it and its changes are."""

    @property
    def commit(self) -> int: ...

    @property
    def first_position(self) -> int: ...

    @property
    def records(self) -> int: ...

    @property
    def frame_bytes(self) -> int: ...

    @property
    def body_bytes(self) -> int: ...


# What an object and its place in a table cost beside the bytes that a frame has for it: measured, 70 to 165.
_PIECE_BYTES = 130


class Pending:
    """A fold of units, in their order. The caller sees to it that nobody looks while it changes.

    Numbers that are given to timers and messages are kept apart from these: who comes and goes within one fold leaves
    nothing but its number behind. They only rise, and what a receiver has stored was given too: where a damaged commit
    has been replaced, a later one may know less than an earlier one.
    """

    def __init__(self) -> None:
        self.state: dict[str, bytes | None] = {}
        # The last commit that is in it, where in its segment that begins, and the last position then.
        self.commit = 0
        self.offset = 0
        self.last_position = 0
        # Of all frames, and of their changes alone; and about what memory holds of these.
        self.log_bytes = 0
        self.changes_bytes = 0
        self.held_bytes = 0
        self._progress: dict[str, SourceProgress] = {}
        self._timers: dict[int, Timer] = {}
        self._fired: set[int] = set()
        self.next_timer_id = 1
        self._outbox: dict[int, deque[Message]] = {}
        self._delivered: dict[int, int] = {}
        self.next_sequence = 1
        self._received: dict[int, int] = {}
        self._processed_position: int | None = None
        self._acknowledged: dict[str, Acknowledgement] = {}

    @property
    def is_empty(self) -> bool:
        return not self.commit

    def fold(self, changes: Iterable[Unit | Changes], head: CommitHead, offset: int) -> None:
        """All that a frame changes; `offset` is where it lies in its segment."""
        for unit in changes:
            self.add(unit)
        self.commit, self.offset, self.last_position = head.commit, offset, head.first_position + head.records - 1
        self.log_bytes += head.frame_bytes
        self.changes_bytes += head.body_bytes
        pieces = len(self.state) + len(self._timers) + len(self._fired)
        if self._outbox:
            pieces += sum(map(len, self._outbox.values()))
        self.held_bytes = self.changes_bytes + _PIECE_BYTES * pieces

    def add(self, unit: Unit | Changes) -> None:
        """Who is in no frame."""
        self.state.update(unit.state)
        for progress in unit.progress:
            self._progress[progress.source] = progress
        if unit.timers_added:
            for timer in unit.timers_added:
                self._timers[timer.timer_id] = timer
            self.next_timer_id = max(self.next_timer_id, *(timer.timer_id + 1 for timer in unit.timers_added))
        for timer_id in unit.timers_fired:
            if self._timers.pop(timer_id, None) is None:
                self._fired.add(timer_id)
        if unit.outbox:
            for message in unit.outbox:
                self._outbox.setdefault(message.receiver, deque()).append(message)
            self.next_sequence = max(self.next_sequence, unit.outbox[-1].sequence + 1)
        for receiver, sequence in unit.delivered.items():
            self.next_sequence = max(self.next_sequence, sequence + 1)
            self._delivered[receiver] = max(sequence, self._delivered.get(receiver, 0))
            waiting = self._outbox.get(receiver)
            while waiting and waiting[0].sequence <= sequence:
                waiting.popleft()
        self._received.update(unit.received)
        if unit.processed_position is not None:
            self._processed_position = unit.processed_position
        for acknowledgement in _all(unit.acknowledged):
            self._acknowledged[acknowledgement.exporter] = acknowledgement

    def write(self, db: sqlite3.Connection) -> None:
        """Into the tables, inside of the caller's transaction."""
        unit = Unit(
            source=WriteSource.INTERNAL,
            progress=[*self._progress.values()],
            # Neighbours in the table one after the other.
            state=dict(sorted(self.state.items())),
            timers_added=[*self._timers.values()],
            timers_fired=[*self._fired],
            outbox=self._messages(),
            delivered=self._delivered,
            received=self._received,
            processed_position=self._processed_position,
            acknowledged=self._acknowledged,
        )
        tables.write_unit(db, unit)
        tables.raise_meta(db, "next_timer_id", self.next_timer_id)
        tables.raise_meta(db, "next_sequence", self.next_sequence)

    def add_to(self, recovered: Recovered) -> None:
        """Makes of what the tables hold what is true."""
        recovered.progress.update(self._progress)
        recovered.acknowledged.update(self._acknowledged)
        recovered.received.update(self._received)
        if self._processed_position is not None:
            recovered.processed_position = self._processed_position
        recovered.timers = [t for t in recovered.timers if t.timer_id not in self._fired] + [*self._timers.values()]
        recovered.next_timer_id = max(recovered.next_timer_id, self.next_timer_id)
        recovered.outbox = [
            m for m in recovered.outbox if m.sequence > self._delivered.get(m.receiver, 0)
        ] + self._messages()
        recovered.next_sequence = max(recovered.next_sequence, self.next_sequence)

    def _messages(self) -> list[Message]:
        return sorted((m for waiting in self._outbox.values() for m in waiting), key=lambda m: m.sequence)


def _all(acknowledged: dict[str, Acknowledgement] | list[Acknowledgement]) -> Iterable[Acknowledgement]:
    return acknowledged.values() if isinstance(acknowledged, dict) else acknowledged
