"""A log in memory: for tests, and the reference that the durable ones are compared with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from threading import Lock

from engine.core.unit import Message, Recovered, Timer
from engine.log.codec import EncodedBatch
from engine.log.storage import ON_THIS_MACHINE, DeletedError, Entry


class MemoryStorage:
    """Implements `LogStorage` with lists and dictionaries; gone with the process, kept over close and recover."""

    pace = ON_THIS_MACHINE
    inbox = None

    def __init__(self) -> None:
        self._lock = Lock()
        self._batches: list[EncodedBatch] = []
        self._first_positions: list[int] = []
        self._state: dict[str, bytes] = {}
        self._timers: dict[int, Timer] = {}
        self._outbox: dict[int, Message] = {}
        self._recovered = Recovered()

    def recover(self) -> Recovered:
        with self._lock:
            known = self._recovered
            return Recovered(
                last_position=known.last_position,
                oldest_position=self._first_positions[0] if self._first_positions else known.last_position + 1,
                processed_position=known.processed_position,
                progress=dict(known.progress),
                acknowledged=dict(known.acknowledged),
                timers=sorted(self._timers.values(), key=lambda t: t.timer_id),
                next_timer_id=known.next_timer_id,
                outbox=sorted(self._outbox.values(), key=lambda m: m.sequence),
                next_sequence=known.next_sequence,
                received=dict(known.received),
            )

    def commit(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        unit, known = entry.unit, self._recovered
        if entry.batch is not None:
            self._batches.append(entry.batch)
            self._first_positions.append(entry.batch.first_position)
            known.last_position = entry.batch.last_position
        for progress in unit.progress:
            known.progress[progress.source] = progress
        for key, value in unit.state.items():
            if value is None:
                self._state.pop(key, None)
            else:
                self._state[key] = value
        for timer in unit.timers_added:
            self._timers[timer.timer_id] = timer
            known.next_timer_id = max(known.next_timer_id, timer.timer_id + 1)
        for timer_id in unit.timers_fired:
            self._timers.pop(timer_id, None)
        for message in unit.outbox:
            self._outbox[message.sequence] = message
            known.next_sequence = max(known.next_sequence, message.sequence + 1)
        for receiver, sequence in unit.delivered.items():
            for message in [m for m in self._outbox.values() if m.receiver == receiver and m.sequence <= sequence]:
                del self._outbox[message.sequence]
        known.received.update(unit.received)
        if unit.processed_position is not None:
            known.processed_position = unit.processed_position
        known.acknowledged.update(unit.acknowledged)

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        with self._lock:
            oldest = self._first_positions[0] if self._first_positions else self._recovered.last_position + 1
            if position < oldest:
                raise DeletedError(position, oldest)
            index = max(0, bisect_right(self._first_positions, position) - 1)
            found: list[EncodedBatch] = []
            covered = 0
            while index < len(self._batches) and covered < max_records:
                batch = self._batches[index]
                index += 1
                if batch.last_position >= position:
                    found.append(batch)
                    covered += batch.last_position - max(position, batch.first_position) + 1
            return found

    def state_get(self, key: str) -> bytes | None:
        return self._state.get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            pairs = sorted((k, v) for k, v in self._state.items() if k.startswith(prefix))
        return iter(pairs)

    def delete_before(self, position: int, max_batches: int) -> int:
        with self._lock:
            count = 0
            while count < max_batches and count < len(self._batches) and self._batches[count].last_position < position:
                count += 1
            del self._batches[:count]
            del self._first_positions[:count]
            return count

    def cluster(self) -> None:
        """It is in none."""

    def attend(self) -> None:
        """It has no clients."""

    def stop(self) -> None:
        """Nothing here waits."""

    def close(self) -> None:
        """Keeps what was stored, so that a test can open it again."""
