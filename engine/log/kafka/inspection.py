"""Looks at a partition in a cluster from outside, beside whoever writes it: nobody is fenced, nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from engine.core.errors import DataFolderError
from engine.core.records import Record
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaLogSettings
from engine.log.codec import EncodedBatch
from engine.log.findings import Damage, Overview, Verdict, fault_of, whole_records
from engine.log.kafka import rows
from engine.log.kafka.batches import batch_of
from engine.log.kafka.reading import OffsetGoneError, TopicReader
from engine.log.kafka.topics import Topics
from engine.log.storage import StorageError

T = TypeVar("T")


class KafkaInspection:
    """A read-only view of one partition; a context manager, for one thread. All of the log is read for each answer."""

    def __init__(self, cluster: Cluster, topics: Topics, partition: int, settings: KafkaLogSettings) -> None:
        self.partition = partition
        self._topics = topics
        self._readers = {
            topic: TopicReader(
                cluster,
                topic,
                partition - 1,
                timeout_ns=settings.commit_timeout_ns,
                gives_up=lambda: False,
                fetch_bytes=8 << 20,
            )
            for topic in topics.all
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers.values():
            reader.close()

    def overview(self) -> Overview:
        return self.verify().overview

    def verify(self) -> Verdict:
        """Holds every batch against its checksum, and every position against the one before."""
        return self._told(self._verdict)

    def _told(self, look: Callable[[], T]) -> T:
        try:
            return look()
        except (StorageError, OffsetGoneError, msgspec.DecodeError) as error:
            raise DataFolderError(f"partition {self.partition}: {error}") from error

    def _verdict(self) -> Verdict:
        state = self._state()
        head = rows.head_of(state.get(rows.HEAD_KEY) or rows.Head().packed())
        size = sum(len(key) + len(value) for key, value in state.items())
        count = records = 0
        first: EncodedBatch | None = None
        last: EncodedBatch | None = None
        damages: list[Damage] = []
        for offset, batch, why in self._batches(0):
            if batch is None:
                damages.append(self._damage(last, 0, f"the message at offset {offset}: {why}"))
                continue
            if last is not None and batch.first_position != last.last_position + 1:
                missing = batch.first_position - last.last_position - 1
                damages.append(self._damage(last, max(0, missing), f"position {batch.first_position} follows"))
            fault = fault_of(batch)
            if fault:
                damages.append(self._damage(last, batch.count, fault))
            first, last = first or batch, batch
            count, records, size = count + 1, records + batch.count, size + len(batch.blob)
        end = last.last_position if last is not None else 0
        if end < head.last_position and last is not None:
            damages.append(self._damage(last, head.last_position - end, "the topic ends before it"))
        exporters = {key[1:].decode(): _second(value) for key, value in state.items() if key[:1] == b"e"}
        overview = Overview(
            partition=self.partition,
            path=Path(self._topics.log),
            size_bytes=size,
            batches=count,
            records=records,
            oldest_position=first.first_position if first is not None else head.last_position + 1,
            last_position=max(end, head.last_position),
            oldest_timestamp_ns=None if first is None else first.timestamp_ns,
            last_timestamp_ns=None if last is None else last.timestamp_ns,
            processed_position=head.processed_position,
            exporters=exporters,
            timers=sum(key[:1] == b"t" for key in state),
            outbox=self._waiting(state),
        )
        return Verdict(overview=overview, damages=tuple(damages))

    def _damage(self, before: EncodedBatch | None, count: int, why: str) -> Damage:
        begin = before.last_position + 1 if before is not None else 1
        return Damage(
            partition=self.partition,
            first_position=begin,
            last_position=begin + count - 1,
            timestamp_ns=before.timestamp_ns if before is not None else 0,
            why=why,
        )

    def _state(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for messages in self._readers[self._topics.state].all_from(0):
            for m in messages:
                key, value = m.key() or b"", m.value()
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = value
        return found

    def _waiting(self, state: dict[bytes, bytes]) -> int:
        """Messages of other partitions that are not in the log yet."""
        stored = state.get(b"ppenstock/inbox")
        begin = 0 if stored is None else _second(stored) + 1
        return sum(len(messages) for messages in self._readers[self._topics.inbox].all_from(begin))

    def _batches(self, offset: int) -> Iterator[tuple[int, EncodedBatch | None, str]]:
        for messages in self._readers[self._topics.log].all_from(offset):
            for m in messages:
                headers: Any = m.headers()
                try:
                    yield int(m.offset() or 0), batch_of(headers, m.value()), ""
                except ValueError as error:
                    yield int(m.offset() or 0), None, str(error)

    def records(self, first: int, last: int | None = None) -> Iterator[Record]:
        """The records from position `first` to `last`, or to the end. Raises `DataFolderError` at a damaged batch."""
        whole = (batch for _, batch, _ in self._batches(0) if batch is not None and batch.last_position >= first)
        return whole_records(self.partition, whole, first, last)


def _second(value: bytes) -> int:
    return int(msgspec.msgpack.decode(value)[1])
