from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.errors import AppendError, LogCorruptedError, PartitionLostError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Unit
from engine.log.codec import EncodedBatch
from engine.log.memory import MemoryStorage
from engine.log.partition_log import PartitionLog
from engine.log.storage import Entry, LostPartitionError, Pace, StorageError
from tests.support.records import records_of
from tests.support.waiting import WAIT_SECONDS, wait_until


def a_unit(*values: object) -> Unit:
    return Unit(
        source=WriteSource.USER_COMMAND,
        records=[Record(RecordType.COMMAND, "t", "create", "k", value) for value in values],
    )


class GatedStorage(MemoryStorage):
    """Lets a test hold a commit, count them, and fail some."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Event()
        self.poison: object = None

    def commit(self, entries: Sequence[Entry]) -> None:
        self.entered.set()
        assert self.go_on.wait(WAIT_SECONDS)
        if any(self.poison in [r.value for r in records_of(entry.unit)] for entry in entries if self.poison):
            raise StorageError("io_error", "poisoned")
        self.commits.append(len([entry for entry in entries if entry.batch is not None]))
        super().commit(entries)


def open_log(
    storage: MemoryStorage, clock: ManualClock | None = None, **options: object
) -> tuple[PartitionLog, list[Unit]]:
    committed: list[Unit] = []
    log = PartitionLog(1, storage, clock or ManualClock(), committed=committed.extend, **options)  # type: ignore[arg-type]
    log.open()
    return log, committed


def test_positions_begin_at_1_and_rise_by_1() -> None:
    log, committed = open_log(MemoryStorage())
    first, second = a_unit("a", "b"), a_unit("c")
    log.append(first)
    log.append(second)
    assert (first.first_position, first.last_position) == (1, 2)
    assert (second.first_position, second.last_position) == (3, 3)
    assert log.last_position == 3
    assert committed == [first, second]


def test_a_unit_without_records_has_no_position_and_is_stored() -> None:
    storage = MemoryStorage()
    log, _ = open_log(storage)
    log.append(Unit(source=WriteSource.INTERNAL, state={"k": b"v"}))
    assert log.last_position == 0
    assert log.storage.state_get("k") == b"v"


def test_stored_is_told_the_last_position_before_anyone_else() -> None:
    log, committed = open_log(MemoryStorage())
    told: list[tuple[int, int]] = []
    log.append(a_unit("a", "b"), lambda last: told.append((last, len(committed))))
    assert told == [(2, 0)]


def test_writers_that_come_during_a_commit_share_the_next_one_and_small_ones_a_batch() -> None:
    storage = GatedStorage()
    log, _ = open_log(storage)
    storage.go_on.clear()
    threads = [threading.Thread(target=log.append, args=(a_unit(0),), daemon=True)]
    threads[0].start()
    assert storage.entered.wait(WAIT_SECONDS)
    for number in range(1, 9):
        unit = a_unit(number) if number < 8 else a_unit(*range(8, 108))
        threads.append(threading.Thread(target=log.append, args=(unit,), daemon=True))
        threads[-1].start()
    assert wait_until(lambda: len(log._queue) == 8)
    storage.go_on.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    # Small ones on either side of the large one have a batch each side.
    assert storage.commits[0] == 1
    assert storage.commits[1:] in ([2], [3])
    assert log.last_position == 108


def test_of_units_that_share_a_commit_only_the_bad_one_fails() -> None:
    storage = GatedStorage()
    storage.poison = "bad"
    log, _ = open_log(storage)
    outcomes: dict[object, object] = {}

    def write(value: object) -> None:
        unit = a_unit(value)
        try:
            log.append(unit)
        except AppendError as error:
            outcomes[value] = str(error)
        else:
            outcomes[value] = unit.first_position

    storage.go_on.clear()
    threads = [threading.Thread(target=write, args=(value,), daemon=True) for value in ("first", "a", "bad", "b")]
    threads[0].start()
    assert storage.entered.wait(WAIT_SECONDS)
    for thread in threads[1:]:
        thread.start()
    assert wait_until(lambda: len(log._queue) == 3)
    storage.go_on.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert outcomes["bad"] == "partition 1 could not store a write: poisoned"
    assert sorted(v for k, v in outcomes.items() if k != "bad") == [1, 2, 3]  # type: ignore[type-var]
    assert {reason: n for reason, n in log.append_failures.items() if n} == {"io_error": 1}
    assert [r.value for b in log.read(1, 10) for r in b.records if r.value == "bad"] == []


def test_a_failure_that_concerns_all_is_not_tried_for_each() -> None:
    storage = GatedStorage()
    log, _ = open_log(storage)
    tried: list[int] = []

    def commit(entries: Sequence[Entry]) -> None:
        tried.append(len(entries))
        raise StorageError("timeout", "nobody answers")

    errors: list[str] = []

    def write(value: object) -> None:
        try:
            log.append(a_unit(value))
        except AppendError as error:
            errors.append(str(error))

    storage.go_on.clear()
    threads = [threading.Thread(target=write, args=(value,), daemon=True) for value in range(4)]
    threads[0].start()
    assert storage.entered.wait(WAIT_SECONDS)
    for thread in threads[1:]:
        thread.start()
    assert wait_until(lambda: len(log._queue) == 3)
    storage.commit = commit  # type: ignore[method-assign]
    storage.go_on.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert (tried, errors) == ([1], ["partition 1 could not store a write: nobody answers"] * 3)
    assert log.append_failures["timeout"] == 1


@pytest.mark.parametrize(("records", "commits"), [(1, [2]), (1000, [1, 1])])
def test_where_a_commit_costs_much_a_lone_writer_waits_for_company_but_not_with_many_records(
    records: int, commits: list[int]
) -> None:
    storage = GatedStorage()
    storage.pace = Pace(linger_ns=round(WAIT_SECONDS) * NS_PER_SECOND)
    log, _ = open_log(storage)
    # The second brings so many that nobody waits any longer.
    first = threading.Thread(target=log.append, args=(a_unit(*range(records)),), daemon=True)
    first.start()
    if records == 1:
        assert wait_until(lambda: log._leading)
    else:
        first.join(WAIT_SECONDS)
    log.append(a_unit(*range(1000)))
    first.join(WAIT_SECONDS)
    assert storage.commits == commits


def test_a_partition_that_another_instance_has_is_told_so_to_all_who_wait() -> None:
    storage = GatedStorage()
    log, _ = open_log(storage)

    def commit(entries: Sequence[Entry]) -> None:
        raise LostPartitionError("partition 1 belongs to instance b now")

    storage.commit = commit  # type: ignore[method-assign]
    with pytest.raises(PartitionLostError, match=r"^partition 1 belongs to instance b now$"):
        log.append(a_unit(1))
    assert log.append_failures["fenced"] == 1


@pytest.mark.parametrize(("is_remote", "why"), [(True, "partition 1: the log has not answered for 6 s"), (False, None)])
def test_a_log_elsewhere_that_does_not_answer_for_long_is_away_until_it_does(is_remote: bool, why: str | None) -> None:
    storage, clock = GatedStorage(), ManualClock()
    storage.pace = Pace(is_remote=is_remote)
    log, _ = open_log(storage, clock)
    storage.go_on.clear()
    writer = threading.Thread(target=log.append, args=(a_unit("waits"),), daemon=True)
    writer.start()
    assert storage.entered.wait(WAIT_SECONDS)
    clock.advance(4.9)
    assert log.why_away is None
    clock.advance(1.1)
    assert log.why_away == why
    storage.go_on.set()
    writer.join(WAIT_SECONDS)
    assert log.why_away is None


def test_a_log_that_fails_is_not_away_behind_that() -> None:
    storage, clock = GatedStorage(), ManualClock()
    storage.pace = Pace(is_remote=True)
    log, _ = open_log(storage, clock)
    storage.poison = 7
    with pytest.raises(AppendError):
        log.append(a_unit(7))
    clock.advance(60)
    assert log.why_away is None


@pytest.mark.parametrize(
    ("reason", "passing", "too_large"),
    [
        ("timeout", True, False),
        ("not_enough_replicas", True, False),
        ("too_large", False, True),
        ("io_error", False, False),
    ],
)
def test_a_writer_is_told_whether_coming_back_helps(reason: str, passing: bool, too_large: bool) -> None:
    storage = GatedStorage()
    log, _ = open_log(storage)

    def commit(entries: Sequence[Entry]) -> None:
        raise StorageError(reason, "no")

    storage.commit = commit  # type: ignore[method-assign]
    with pytest.raises(AppendError) as caught:
        log.append(a_unit(1))
    assert (caught.value.passing, caught.value.too_large) == (passing, too_large)


def test_old_batches_are_deleted_beside_the_writers_where_that_takes_long() -> None:
    storage = GatedStorage()
    storage.pace = Pace(is_remote=True)
    log, _ = open_log(storage)
    for value in range(3):
        log.append(a_unit(value))
    storage.go_on.clear()
    storage.entered.clear()
    writer = threading.Thread(target=log.append, args=(a_unit("waits"),), daemon=True)
    writer.start()
    assert storage.entered.wait(WAIT_SECONDS)
    assert log.delete_before(3, 10) == 2
    storage.go_on.set()
    writer.join(WAIT_SECONDS)
    assert log.last_position == 4


def test_riders_go_in_front_of_a_commit_and_come_back_when_it_fails() -> None:
    storage = GatedStorage()
    riders = [Unit(source=WriteSource.INTERNAL, acknowledged={"e": Acknowledgement("e", 5, None)})]
    given_back: list[Unit] = []
    log, _ = open_log(
        storage,
        take_riders=lambda: riders.pop() if riders else None,
        give_back_riders=given_back.append,
    )
    storage.poison = "bad"
    with pytest.raises(AppendError):
        log.append(a_unit("bad"))
    assert [unit.acknowledged["e"].position for unit in given_back] == [5]
    riders.append(given_back.pop())
    log.append(a_unit("good"))
    assert storage.recover().acknowledged["e"].position == 5


def test_a_value_that_cannot_be_encoded_fails_its_writer_alone() -> None:
    log, _ = open_log(MemoryStorage())
    with pytest.raises(TypeError):
        log.append(a_unit(object()))
    log.append(a_unit("fine"))
    assert log.last_position == 1


def test_readers_find_old_records_in_the_storage_and_new_ones_in_memory() -> None:
    storage = MemoryStorage()
    log, _ = open_log(storage, tail_bytes=200)
    for number in range(100):
        log.append(a_unit(f"value {number}"))
    assert [b.records[0].value for b in log.read(1, 3)] == ["value 0", "value 1", "value 2"]
    assert [b.records[0].value for b in log.read(99, 10)] == ["value 98", "value 99"]
    assert log.read(101, 10) == []
    assert log._tail.read(1, 1) is None, "the memory is bounded"
    assert log._tail.read(100, 1) is not None


def test_a_damaged_batch_is_refused_with_its_position() -> None:
    storage = MemoryStorage()
    log, _ = open_log(storage)
    log.append(a_unit("a"))
    log.append(a_unit("b"))
    whole = storage._batches[1]
    storage._batches[1] = EncodedBatch(
        whole.first_position, whole.count, whole.timestamp_ns, whole.source, whole.checksum, b"\xff" + whole.blob[1:]
    )
    again, _ = open_log(storage)
    with pytest.raises(LogCorruptedError, match="partition 1: batch at position 2 is damaged: its checksum"):
        again.read(1, 10)


def test_the_timestamp_of_a_position_is_that_of_its_batch() -> None:
    clock = ManualClock()
    log = PartitionLog(1, MemoryStorage(), clock, committed=lambda _: None)
    log.open()
    written_ns = clock.wall_ns()
    log.append(a_unit("a", "b"))
    clock.advance(10)
    log.append(a_unit("c"))
    assert log.timestamp_of(2) == written_ns
    assert log.timestamp_of(3) == clock.wall_ns()
    assert log.timestamp_of(4) is None
