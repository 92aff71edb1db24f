"""What a partition does for those who wait, and says of writes that fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock, ManualClock, SystemClock
from engine.core.errors import AppendError
from engine.core.records import Record, RecordType, WriteSource, encode_record
from engine.core.snapshot import Outcome
from engine.core.unit import Message, Unit
from engine.flow.gate import Permit
from engine.flow.settings import FlowControlSettings
from engine.log.memory import MemoryStorage
from engine.log.storage import Entry, StorageError
from engine.partition.partition import Partition
from tests.support.waiting import WAIT_SECONDS

A_MINUTE_NS = 60 * NS_PER_SECOND


class FullStorage(MemoryStorage):
    """Takes no records while it is full."""

    is_full = False

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.is_full and any(entry.batch is not None for entry in entries):
            raise StorageError("disk_full", "1.db: database or disk is full")
        super().commit(entries)


Make = Callable[[Clock, MemoryStorage], Partition]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Partition] = []

    def make(clock: Clock, storage: MemoryStorage) -> Partition:
        made.append(
            Partition(
                1,
                storage,
                clock,
                flow_control=FlowControlSettings(),
                exporters=(),
                has_processor=False,
                progressed=lambda: None,
            )
        )
        return made[-1]

    yield make
    for partition in made:
        partition.close()


def unit() -> Unit:
    return Unit(source=WriteSource.USER_COMMAND, records=[Record(RecordType.COMMAND, "t", "create", "k", 1)])


def test_who_waits_for_a_record_waits_also_where_another_task_has_failed(make: Make) -> None:
    partition = make(SystemClock(), MemoryStorage())
    told: list[str] = []
    partition.failing(lambda task, _: told.append(task))("processor/0", ValueError("broken"))
    assert told == ["processor/0"]
    began = time.monotonic()
    assert not partition.wait_for_record(1, 200 * NS_PER_MS)
    assert time.monotonic() - began > 0.1, "it looks round without a pause"


def test_who_waits_in_a_partition_that_failed_is_freed_at_the_end_of_the_run(make: Make) -> None:
    partition = make(SystemClock(), MemoryStorage())
    partition.failing(lambda *_: None)("processor/0", ValueError("broken"))
    waiting = threading.Thread(target=partition.wait_for_record, args=(1, A_MINUTE_NS), daemon=True)
    waiting.start()
    partition.stop()
    waiting.join(WAIT_SECONDS)
    assert not waiting.is_alive()
    assert not partition.wait_for_record(1, A_MINUTE_NS)


def failed_write(partition: Partition) -> None:
    permit = partition.try_acquire(WriteSource.USER_COMMAND, 1)
    assert isinstance(permit, Permit)
    with pytest.raises(AppendError):
        partition.append(unit(), permit)


def told(partition: Partition) -> str | None:
    return partition.snapshot(disk_free_bytes=None).append_error


def test_a_write_that_failed_and_is_not_tried_again_is_told_of_for_a_while(make: Make) -> None:
    clock, storage = ManualClock(), FullStorage()
    partition = make(clock, storage)
    storage.is_full = True
    failed_write(partition)
    clock.advance(4)
    partition.tick()
    assert "disk is full" in str(told(partition))
    clock.advance(1)
    partition.tick()
    assert told(partition) is None


def test_a_write_that_could_not_be_stored_does_not_count_as_accepted(make: Make) -> None:
    storage = FullStorage()
    partition = make(ManualClock(), storage)
    storage.is_full = True
    failed_write(partition)
    storage.is_full = False
    permit = partition.try_acquire(WriteSource.USER_COMMAND, 1)
    assert isinstance(permit, Permit)
    partition.append(unit(), permit)
    flow = partition.snapshot(disk_free_bytes=None).flow
    assert flow.writes[WriteSource.USER_COMMAND, Outcome.ACCEPTED] == 1


def test_a_write_that_is_tried_again_is_told_of_until_it_is_stored(make: Make) -> None:
    clock, storage = ManualClock(), FullStorage()
    partition = make(clock, storage)
    storage.is_full = True
    failed_write(partition)
    # Here it comes back at once: the partition is stopped, and the clock stands.
    partition.stop()
    partition.pause_after_failure()
    clock.advance(100)
    partition.tick()
    assert "disk is full" in str(told(partition))
    storage.is_full = False
    partition.append(unit())
    assert told(partition) is None


def test_what_a_receiver_could_not_store_is_told_of_until_its_sender_has_sent_it_again(make: Make) -> None:
    clock, storage = ManualClock(), FullStorage()
    partition = make(clock, storage)
    storage.is_full = True
    message = Message(1, 1, encode_record(Record(RecordType.COMMAND, "t", "receive", "k", 1)))
    with pytest.raises(AppendError):
        partition.receive(2, [message])
    clock.advance(100)
    partition.tick()
    assert "disk is full" in str(told(partition))
    storage.is_full = False
    partition.receive(2, [message])
    assert told(partition) is None
