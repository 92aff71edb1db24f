"""The contract of `LogStorage`, over every implementation; a new one joins by adding a line to `STORAGES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Message, SourceProgress, Timer, Unit
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.memory import MemoryStorage
from engine.log.storage import DeletedError, Entry, LogStorage
from tests.support.kafka_logs import KafkaLogs
from tests.support.logs import local_log

# A function that opens the same storage again, as a new process would.
Reopen = Callable[[], LogStorage]
STORAGES = ["memory", "local", "kafka", "kafka, cache lost"]


@pytest.fixture(params=STORAGES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    opened: list[LogStorage] = []
    memory = MemoryStorage()
    kafka = KafkaLogs(request.getfixturevalue("kafka"), tmp_path, partitions=3) if "kafka" in request.param else None

    def of_kafka() -> LogStorage:
        assert kafka is not None
        if request.param == "kafka, cache lost":
            kafka.lose_cache()
        return kafka.storage()

    def make() -> LogStorage:
        if opened:
            opened[-1].close()
        storage = {
            "memory": lambda: memory,
            "local": lambda: local_log(tmp_path / "1"),
            "kafka": of_kafka,
            "kafka, cache lost": of_kafka,
        }[request.param]()
        opened.append(storage)
        return storage

    yield make
    if opened:
        opened[-1].close()


def entry(first_position: int, count: int, unit: Unit | None = None) -> Entry:
    records = [Record(RecordType.COMMAND, "t", "create", "k", {"n": first_position + i}) for i in range(count)]
    blob = encode_batch(records)[0]
    batch = EncodedBatch(
        first_position,
        count,
        1000 + first_position,
        WriteSource.USER_COMMAND,
        checksum_of(blob, first_position, count),
        blob,
    )
    return Entry(unit or Unit(source=WriteSource.USER_COMMAND), batch)


def only(unit: Unit) -> Entry:
    return Entry(unit, None)


def a_unit(**fields: object) -> Unit:
    return Unit(source=WriteSource.PROCESSING_RESULT, **fields)  # type: ignore[arg-type]


def test_a_new_storage_is_empty_and_its_first_position_will_be_1(reopen: Reopen) -> None:
    recovered = reopen().recover()
    assert (recovered.last_position, recovered.oldest_position, recovered.processed_position) == (0, 1, 0)
    assert (recovered.next_timer_id, recovered.next_sequence) == (1, 1)


def test_batches_come_back_in_order_with_their_content(reopen: Reopen) -> None:
    storage = reopen()
    storage.recover()
    storage.commit([entry(1, 3), entry(4, 1)])
    storage.commit([entry(5, 2)])
    batches = [decode_batch(batch) for batch in storage.read(1, 100)]
    assert [(b.first_position, len(b.records)) for b in batches] == [(1, 3), (4, 1), (5, 2)]
    assert [r.value["n"] for b in batches for r in b.records] == [1, 2, 3, 4, 5, 6]
    assert [r.position for b in batches for r in b.records] == [1, 2, 3, 4, 5, 6]
    assert batches[0].timestamp_ns == 1001


@pytest.mark.parametrize("units", [1, 2, 63, 64, 65, 200])
def test_any_number_of_units_share_a_commit_and_keep_their_order(reopen: Reopen, units: int) -> None:
    storage = reopen()
    storage.recover()
    storage.commit([entry(2 * n + 1, 2, a_unit(state={"last": b"%d" % n})) for n in range(units)])
    again = reopen()
    assert again.recover().last_position == 2 * units
    assert [batch.first_position for batch in again.read(1, 1000)] == list(range(1, 2 * units, 2))
    assert again.state_get("last") == b"%d" % (units - 1)


@pytest.mark.parametrize("keys", [1, 2, 255, 256, 257, 1000])
def test_any_number_of_keys_are_put_and_deleted_in_a_unit(reopen: Reopen, keys: int) -> None:
    storage = reopen()
    storage.recover()
    storage.commit([only(a_unit(state={f"k{n}": b"old" for n in range(0, keys, 2)}))])
    state = {f"k{n}": None if n % 3 == 0 else b"%d" % n for n in range(keys)}
    storage.commit([only(a_unit(state=state))])
    again = reopen()
    again.recover()
    assert dict(again.state_scan("k")) == {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("position", "count", "firsts"),
    [(1, 1, [1]), (2, 2, [1]), (2, 3, [1, 4]), (4, 1, [4]), (6, 9, [5]), (7, 9, [])],
)
def test_a_read_begins_with_the_batch_that_holds_the_position_and_covers_what_was_asked(
    reopen: Reopen, position: int, count: int, firsts: list[int]
) -> None:
    storage = reopen()
    storage.recover()
    storage.commit([entry(1, 3), entry(4, 1), entry(5, 2)])
    assert [batch.first_position for batch in storage.read(position, count)] == firsts


def test_everything_in_a_unit_is_there_after_opening_again(reopen: Reopen) -> None:
    storage = reopen()
    storage.recover()
    storage.commit(
        [
            entry(
                1,
                2,
                a_unit(
                    progress=[SourceProgress("s", 7, 2, b"c")],
                    state={"a": b"1", "b": b"2"},
                    timers_added=[Timer(1, 99, b"first"), Timer(2, 50, b"second")],
                    outbox=[Message(1, 2, b"one"), Message(2, 3, b"two"), Message(3, 2, b"three")],
                    received={3: 41},
                    processed_position=1,
                    acknowledged={"file": Acknowledgement("file", 2, b"len")},
                ),
            ),
            only(
                a_unit(
                    progress=[SourceProgress("s", 9)],
                    state={"a": None},
                    timers_fired=[1],
                    delivered={2: 1},
                    processed_position=2,
                )
            ),
        ]
    )
    storage = reopen()
    recovered = storage.recover()
    assert recovered.last_position == 2
    assert recovered.progress == {"s": SourceProgress("s", 9, 0, None)}
    assert storage.state_get("a") is None
    assert storage.state_get("b") == b"2"
    assert recovered.timers == [Timer(2, 50, b"second")]
    assert recovered.next_timer_id == 3
    # What has an inbox has handed them over with the commit.
    waiting = [Message(2, 3, b"two"), Message(3, 2, b"three")] if storage.inbox is None else []
    assert recovered.outbox == waiting
    assert recovered.next_sequence == 4
    assert recovered.received == {3: 41}
    assert recovered.processed_position == 2
    assert recovered.acknowledged == {"file": Acknowledgement("file", 2, b"len")}


def test_counters_of_timers_and_messages_go_on_after_all_of_them_are_done(reopen: Reopen) -> None:
    storage = reopen()
    storage.recover()
    storage.commit([only(a_unit(timers_added=[Timer(1, 1, b"")], outbox=[Message(1, 2, b"")]))])
    storage.commit([only(a_unit(timers_fired=[1], delivered={2: 1}))])
    recovered = reopen().recover()
    assert (recovered.timers, recovered.outbox) == ([], [])
    assert (recovered.next_timer_id, recovered.next_sequence) == (2, 2)


def test_a_scan_gives_the_keys_with_the_prefix_in_order(reopen: Reopen) -> None:
    storage = reopen()
    storage.recover()
    keys = ["a", "a/1", "a/2", "a/\U0010ffff", "a0", "b", "A/1", "%", "a_"]
    storage.commit([only(a_unit(state={key: key.encode() for key in keys}))])
    assert [key for key, _ in storage.state_scan("a/")] == ["a/1", "a/2", "a/\U0010ffff"]
    assert [key for key, _ in storage.state_scan("")] == sorted(keys)
    assert list(storage.state_scan("zz")) == []


def test_deleting_old_batches_takes_no_more_than_allowed_and_keeps_the_last_position(reopen: Reopen) -> None:
    storage = reopen()
    storage.recover()
    storage.commit([entry(1, 2), entry(3, 2), entry(5, 2)])
    assert storage.delete_before(5, 1) == 1
    assert [b.first_position for b in storage.read(3, 100)] == [3, 5]
    with pytest.raises(DeletedError, match="position 2 has been deleted, the oldest is 3"):
        storage.read(2, 100)
    assert storage.delete_before(6, 10) == 1
    assert [b.first_position for b in storage.read(5, 100)] == [5]
    assert storage.delete_before(100, 10) == 1
    with pytest.raises(DeletedError):
        storage.read(6, 100)
    assert storage.read(7, 100) == []
    recovered = reopen().recover()
    assert recovered.last_position == 6
    assert recovered.oldest_position == 7
