"""The batches of a partition in its topic: where each of them lies, and which are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.core.errors import DataFolderError
from engine.log.codec import EncodedBatch
from engine.log.kafka import rows
from engine.log.kafka.batches import batch_of
from engine.log.kafka.index import OffsetIndex
from engine.log.kafka.reading import OffsetGoneError, TopicReader
from engine.log.storage import DeletedError, StorageError

# So few offsets are read through rather than searched.
_NEAR = 64
_READ_AT_ONCE = 500


class LogTopic:
    """Any thread may read, beside the one who writes; `check` comes first.

    Offsets are only addresses: transactions leave holes between them.
    """

    def __init__(
        self, topic: str, state_topic: str, name: str, reader: TopicReader, delete: Callable[[int], None]
    ) -> None:
        """`name` is the partition's, for errors; `delete` deletes what lies before an offset."""
        self._topic = topic
        self._state_topic = state_topic
        self._name = name
        self._reader = reader
        self._delete = delete
        self._index = OffsetIndex()
        self.oldest_position = 1

    def close(self) -> None:
        self._reader.close()

    # -- opening ---

    def check(self, head: rows.Head) -> None:
        """Looks whether it ends where the state says, and how far it goes back. Raises `DataFolderError`."""
        low, high = self._reader.bounds()
        wanted = head.last_position
        if not wanted:
            if self._first_batch(low) is not None:
                raise DataFolderError(
                    f"{self._name}: there are records in topic {self._topic}, and {self._state_topic} says that "
                    "there are none: it was deleted; delete the log topic too to begin again"
                )
            return
        at = max(low, head.log_offset)
        last = 0
        if at > high:
            raise DataFolderError(
                f"{self._name}: topic {self._topic} ends at offset {high}, what is stored in {self._state_topic} "
                f"goes to {at}: the log is shorter than it was; records are lost"
            )
        for messages in self._reader.all_from(at):
            for m in messages:
                batch = self._batch(m.headers(), m.value())
                self._index.add(batch.first_position, int(m.offset() or 0))
                last = batch.last_position
        if last and last != wanted:
            raise DataFolderError(
                f"{self._name}: topic {self._topic} ends at position {last}, {self._state_topic} says {wanted}: "
                "the two are not of one log"
            )
        first = self._first_batch(low)
        if first is None and low == 0:
            raise DataFolderError(
                f"{self._name}: topic {self._topic} is empty, {self._state_topic} says that it has {wanted} "
                "records: it was deleted and made anew; delete the state topic too to begin again"
            )
        self.oldest_position = wanted + 1 if first is None else first.first_position

    # -- writing ---

    def written(self, batches: Sequence[EncodedBatch], last_offset: int) -> int:
        """These lie one behind the other up to that offset: nobody else writes there. The offset of the first."""
        first = last_offset - len(batches) + 1
        for i, batch in enumerate(batches):
            self._index.add(batch.first_position, first + i)
        return first

    def delete_before(self, position: int, max_batches: int, last_position: int) -> int:
        """As `LogStorage.delete_before`; `last_position` is of all that is written."""
        end = min(position, last_position + 1)
        starts = self._index.starts(self.oldest_position, max_batches + 1)
        # Where each of those that are known ends: the next begins, or the log is over.
        ends = starts[1:]
        if starts and len(starts) <= max_batches:
            ends.append((last_position + 1, starts[-1][1] + 1))
        gone = [(first, offset) for first, offset in ends if first <= end]
        if gone:
            behind = gone[-1]
        else:
            # Those in between were written by a process before this one.
            found = self._find(end)
            if found is None or found[0] <= self.oldest_position:
                return 0
            behind = found
        self._delete(behind[1])
        self.oldest_position = behind[0]
        self._index.forget_before(behind[0])
        return len(gone) or 1

    # -- reading ---

    def read(self, position: int, max_records: int, last_position: int) -> list[EncodedBatch]:
        """As `LogStorage.read`; `last_position` is of all that is committed."""
        if position < self.oldest_position:
            raise DeletedError(position, self.oldest_position)
        if position > last_position:
            return []
        try:
            return self._read(position, max_records, last_position)
        except OffsetGoneError:
            # Somebody else has deleted it: the topic's own retention, mostly.
            first = self._first_that_is_there()
            self.oldest_position = max(self.oldest_position, last_position + 1 if first is None else first)
            if position < self.oldest_position:
                raise DeletedError(position, self.oldest_position) from None
            raise StorageError("storage_error", f"{self._name}: position {position} is not where it was") from None

    def _first_that_is_there(self) -> int | None:
        while True:
            try:
                first = self._first_batch(self._reader.bounds()[0])
            except OffsetGoneError:
                # That one is gone by now, too.
                continue
            return None if first is None else first.first_position

    def _read(self, position: int, max_records: int, last: int) -> list[EncodedBatch]:
        found = self._find(position)
        if found is None:
            raise StorageError("storage_error", f"{self._name}: position {position} cannot be found")
        at = found[1]
        batches: list[EncodedBatch] = []
        covered = 0
        while covered < max_records and position + covered <= last:
            messages = self._reader.read(at, min(max_records - covered, _READ_AT_ONCE))
            if not messages:
                break
            for m in messages:
                batch = self._batch(m.headers(), m.value())
                at = int(m.offset() or 0) + 1
                self._index.add(batch.first_position, at - 1)
                if batch.last_position < position or batch.first_position > last or covered >= max_records:
                    continue
                batches.append(batch)
                covered += batch.last_position - max(position, batch.first_position) + 1
        return batches

    def _find(self, position: int) -> tuple[int, int] | None:
        """The first position and the offset of the batch that holds a position, or a place close before it."""
        while True:
            before, behind = self._index.around(position)
            low, high = self._reader.bounds() if before is None or behind is None else (0, 0)
            from_offset = before[1] if before is not None else low
            to_offset = behind[1] if behind is not None else high
            if before is not None and (before[0] == position or to_offset - from_offset <= _NEAR):
                return before
            if to_offset - from_offset <= _NEAR:
                return self._place_of(from_offset)
            middle = self._first_batch((from_offset + to_offset) // 2)
            if middle is None or (behind is not None and middle.first_position >= behind[0]):
                # Nothing but holes up to there.
                return before if before is not None else self._place_of(from_offset)

    def _place_of(self, offset: int) -> tuple[int, int] | None:
        first = self._first_batch(offset)
        return None if first is None else (first.first_position, offset)

    def _first_batch(self, low: int) -> EncodedBatch | None:
        messages = self._reader.read(low, 1)
        if not messages:
            return None
        batch = self._batch(messages[0].headers(), messages[0].value())
        self._index.add(batch.first_position, int(messages[0].offset() or 0))
        return batch

    def _batch(self, headers: object, blob: bytes | None) -> EncodedBatch:
        try:
            return batch_of(headers, blob)  # type: ignore[arg-type]
        except ValueError as error:
            raise StorageError("storage_error", f"{self._name}: a message of {self._topic}: {error}") from error
