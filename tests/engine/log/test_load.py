"""Small writes that wait together share an encoding: nobody gets another one's place, error or acknowledgement."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import SystemClock
from engine.core.columns import Columns
from engine.core.errors import AppendError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import SourceProgress, Unit
from engine.log.codec import EncodedBatch, checksum_of, decode_batch
from engine.log.load import Ticket, loads
from engine.log.local.disk import Disk
from engine.log.local.storage import LocalLogStorage
from engine.log.memory import MemoryStorage
from engine.log.partition_log import PartitionLog
from engine.log.storage import Entry, StorageError
from tests.support.logs import copy_log, local_log
from tests.support.records import records_of
from tests.support.waiting import WAIT_SECONDS, wait_until

UNSTORABLE: Any = {"what no log can hold": object()}


def a_unit(
    values: Sequence[object], *, source: WriteSource = WriteSource.USER_COMMAND, progress: int | None = None
) -> Unit:
    return Unit(
        source=source,
        records=[Record(RecordType.COMMAND, "t", "create", "k", value) for value in values],
        progress=[] if progress is None else [SourceProgress("s", progress)],
    )


# How many records, of which source, whether there is more to the unit, and whether some value cannot be stored.
UNITS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 2, 3, 16, 17, 40]),
        st.sampled_from([WriteSource.USER_COMMAND, WriteSource.INTERNAL]),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=12,
)


@given(plan=UNITS)
def test_each_record_is_in_one_batch_in_the_order_of_the_line_and_who_cannot_be_encoded_fails_alone(
    plan: list[tuple[int, WriteSource, bool, bool]],
) -> None:
    tickets, expected, fails = [], [], []
    number = 0
    for count, source, has_more, has_bad in plan:
        values: list[object] = [*range(number, number + count)]
        number += count
        # A large one fails where it is encoded, before it comes into the line.
        is_bad = has_bad and 0 < count <= 16 and not has_more
        unit = a_unit([*values[1:], UNSTORABLE] if is_bad else values, source=source, progress=1 if has_more else None)
        tickets.append(Ticket(unit))
        if is_bad:
            fails.append(tickets[-1])
        else:
            expected += [(source, value) for value in values]
    found = loads(tickets)
    assert [ticket for ticket in tickets if ticket.error is not None] == fails
    assert all(isinstance(ticket.error, TypeError) for ticket in fails)
    assert [ticket for load in found for ticket in load.tickets] == [t for t in tickets if t.error is None]
    read = []
    for load in found:
        assert len({ticket.unit.source for ticket in load.tickets}) == 1
        count = sum(len(ticket.unit.records) for ticket in load.tickets)
        assert len(load.unit.records) == count
        assert (load.blob is None) == (count == 0)
        assert len(load.tickets) == 1 or not any(ticket.unit.changes_something for ticket in load.tickets)
        if load.blob is not None:
            checksum = checksum_of(load.blob, 1, count, load.kinds)
            batch = EncodedBatch(1, count, 1, load.unit.source, checksum, load.blob, load.kinds)
            read += [(load.unit.source, record.value) for record in decode_batch(batch).records]
    assert read == expected


@pytest.mark.parametrize("fields", [{"value_type": []}, {"intent": {}}, {"key": 7}])
def test_who_names_no_words_fails_alone(fields: dict[str, Any]) -> None:
    odd = Record(**{"record_type": "command", "value_type": "t", "intent": "i", "key": "k", "value": 1, **fields})
    tickets = [Ticket(a_unit([1])), Ticket(Unit(source=WriteSource.USER_COMMAND, records=[odd])), Ticket(a_unit([2]))]
    assert [load.tickets for load in loads(tickets)] == [(tickets[0],), (tickets[2],)]
    assert isinstance(tickets[1].error, TypeError)


def test_neighbours_that_would_make_a_large_batch_stay_alone() -> None:
    tickets = [Ticket(a_unit([bytes(100_000)])) for _ in range(4)]
    assert [len(load.tickets) for load in loads(tickets)] == [1, 1, 1, 1]
    assert [len(load.tickets) for load in loads(tickets[:2])] == [2]


def test_columns_are_encoded_as_the_records_that_they_say() -> None:
    unit = a_unit([1, 2, 3])
    assert isinstance(unit.records, list)
    of_columns = Ticket(Unit(source=unit.source, records=Columns.of(unit.records)))
    (load,) = loads([of_columns])
    (other,) = loads([Ticket(unit)])
    assert (load.blob, load.kinds) == (other.blob, other.kinds)


class Held(MemoryStorage):
    """A log whose commits can be held, counted, and refused because of a value."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.refused: object = None

    def commit(self, entries: Sequence[Entry]) -> None:
        self.entered.set()
        assert self.go_on.wait(WAIT_SECONDS)
        values = [record.value for entry in entries for record in records_of(entry.unit)]
        if self.refused is not None and self.refused in values:
            raise StorageError("too_large", "refused")
        self.batches += [entry.batch.count for entry in entries if entry.batch is not None]
        super().commit(entries)


def open_log(storage: Any) -> PartitionLog:
    log = PartitionLog(1, storage, SystemClock(), committed=lambda _: None)
    log.open()
    return log


class Writer(threading.Thread):
    """Appends units one after the other, and keeps what it was told of each."""

    def __init__(self, log: PartitionLog, units: Sequence[Unit]) -> None:
        super().__init__(daemon=True)
        self._log = log
        self._units = units
        # First position of what was acknowledged, in order, with its values; what was not, with the error.
        self.acknowledged: list[tuple[int, list[Any]]] = []
        self.stored: list[int] = []
        self.failed: list[BaseException] = []

    def run(self) -> None:
        for unit in self._units:
            assert isinstance(unit.records, list)
            values = [record.value for record in unit.records]
            try:
                self._log.append(unit, self.stored.append)
            except Exception as error:
                self.failed.append(error)
            except BaseException as error:
                # The process is dead.
                self.failed.append(error)
                return
            else:
                self.acknowledged.append((unit.first_position, values))


def test_who_waits_together_has_one_batch_and_each_its_own_place() -> None:
    storage = Held()
    log = open_log(storage)
    first = Writer(log, [a_unit([0])])
    first.start()
    assert storage.entered.wait(WAIT_SECONDS)
    writers = [Writer(log, [a_unit([100 * n, 100 * n + 1])]) for n in range(1, 9)]
    for writer in writers:
        writer.start()
    assert wait_until(lambda: len(log._queue) == 8)
    storage.go_on.set()
    for writer in [first, *writers]:
        writer.join(WAIT_SECONDS)
    assert storage.batches == [1, 16]
    records = [record for batch in log.read(1, 100) for record in batch.records]
    for writer in writers:
        ((position, values),) = writer.acknowledged
        assert [record.value for record in records[position - 1 : position + 1]] == values
        assert writer.stored == [position + 1]
    assert sum(log.append_duration.snapshot().counts) == 9


@pytest.mark.parametrize("bad", [UNSTORABLE, "refused"])
def test_of_those_that_wait_together_only_the_bad_one_fails(bad: object) -> None:
    storage = Held()
    storage.refused = "refused"
    log = open_log(storage)
    writers = [Writer(log, [a_unit([value])]) for value in ("first", "a", bad, "b")]
    writers[0].start()
    assert storage.entered.wait(WAIT_SECONDS)
    for writer in writers[1:]:
        writer.start()
    assert wait_until(lambda: len(log._queue) == 3)
    storage.go_on.set()
    for writer in writers:
        writer.join(WAIT_SECONDS)
    (error,) = writers[2].failed
    assert isinstance(error, TypeError if bad is UNSTORABLE else AppendError)
    assert sorted(position for w in writers for position, _ in w.acknowledged) == [1, 2, 3]
    assert {record.value for batch in log.read(1, 9) for record in batch.records} == {"first", "a", "b"}


class Died(BaseException):
    """The process is gone: nobody catches this on its way."""


class DyingDisk(Disk):
    """Leaves half of what the commit with this number writes, and an image of the folder as it is then."""

    def __init__(self, folder: Path, commits: int) -> None:
        self._folder = folder
        self._commits = commits
        self.image: Path | None = None

    def write(self, file: int, parts: Sequence[bytes], offset: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith(".log"):
            self._commits -= 1
            if self._commits <= 0:
                if self.image is None:
                    whole = b"".join(parts)
                    super().write(file, [whole[: len(whole) // 2]], offset)
                    self.image = copy_log(self._folder, self._folder.parent / "image" / "1")
                raise Died
        super().write(file, parts, offset)


def test_what_many_writers_were_told_survives_a_death_in_the_middle_of_a_commit() -> None:
    seed = int(os.environ.get("TEST_SEED", "0")) or Random().randrange(1, 1 << 30)
    print(f"TEST_SEED={seed}")
    chance = Random(seed)
    for _ in range(8):
        folder = Path(tempfile.mkdtemp())
        LocalLogStorage(folder / "1").make()
        disk = DyingDisk(folder / "1", chance.randrange(2, 30))
        storage = LocalLogStorage(folder / "1", segment_bytes=chance.choice([600, 1 << 20]), disk=disk)
        log = open_log(storage)
        writers = []
        for thread in range(12):
            plan = [a_unit([(thread, n, m) for m in range(chance.choice([1, 1, 2, 20]))]) for n in range(40)]
            plan.insert(chance.randrange(40), a_unit([UNSTORABLE]))
            writers.append(Writer(log, plan))
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(3 * WAIT_SECONDS)
            assert not writer.is_alive()
        assert disk.image is not None, "it died"
        log.close()
        again = open_log(local_log(disk.image))
        records = {r.position: r.value for batch in again.read(1, 1 << 20) for r in batch.records}
        for thread, writer in enumerate(writers):
            assert writer.stored == [first + len(values) - 1 for first, values in writer.acknowledged]
            for first, values in writer.acknowledged:
                assert [tuple(records[first + m]) for m in range(len(values))] == values
            # In its own order, and each at most once, acknowledged or not.
            own = [tuple(value[1:]) for _, value in sorted(records.items()) if value[0] == thread]
            assert own == sorted(set(own))
        again.close()
        shutil.rmtree(folder)
