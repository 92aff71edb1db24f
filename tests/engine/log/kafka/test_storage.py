"""The log on a real broker: who has a partition, what became of a commit, a cache in doubt."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, SystemClock
from engine.core.errors import AppendError, DataFolderError, PartitionLostError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Message, Unit
from engine.kafka.client import KafkaError
from engine.log.kafka import rows
from engine.log.kafka.inbox import Sent
from engine.log.kafka.storage import KafkaLogStorage
from engine.log.kafka.transactions import OutcomeUnknownError, Outgoing
from engine.log.partition_log import PartitionLog
from engine.log.storage import LostPartitionError, StorageError
from tests.support.kafka_logs import KafkaLogs
from tests.support.waiting import wait_until


def unit(*values: Any, **fields: Any) -> Unit:
    records = [Record(RecordType.COMMAND, "t", "create", "k", value) for value in values]
    return Unit(source=WriteSource.USER_COMMAND, records=records, **fields)


class Opened:
    """A storage with the log over it."""

    def __init__(self, storage: KafkaLogStorage) -> None:
        self.storage = storage
        self.log = PartitionLog(1, storage, SystemClock(), committed=lambda _: None, tail_bytes=1)
        self.recovered = self.log.open()

    def values(self) -> list[Any]:
        found = []
        position = 1
        while batches := self.log.read(position, 100):
            found += [(record.position, record.value) for batch in batches for record in batch.records_from(position)]
            position = batches[-1].last_position + 1
        return found


@pytest.fixture
def logs(kafka: str, tmp_path: Path) -> KafkaLogs:
    return KafkaLogs(kafka, tmp_path, partitions=2)


def numbered(*values: Any) -> list[Any]:
    return [*enumerate(values, start=1)]


def test_who_opens_a_partition_has_it_and_the_one_before_says_who_that_is(logs: KafkaLogs, tmp_path: Path) -> None:
    first = Opened(logs.storage(instance="a"))
    first.log.append(unit("one", state={"k": b"1"}))
    logs.cache = tmp_path / "elsewhere"
    second = Opened(logs.storage(instance="b"))
    with pytest.raises(PartitionLostError, match=r"partition 1 belongs to instance b now; what was not committed"):
        first.log.append(unit("of a zombie", state={"k": b"2"}))
    with pytest.raises(PartitionLostError, match="belongs to instance b now"):
        first.log.append(unit("again"))
    second.log.append(unit("two"))
    assert second.values() == numbered("one", "two")
    assert second.log.storage.state_get("k") == b"1"
    assert first.storage.fenced == {"taken_over": 1, "timeout": 0}
    first.log.close()
    second.log.close()


class Uncertain(KafkaLogStorage):
    """Does not hear of the end of a commit, which comes about or not."""

    comes_about: bool | None = None

    def recover(self) -> Any:
        recovered = super().recover()
        commit = self.transactions._commit

        def lost(producer: Any, failed: list[KafkaError]) -> None:
            comes_about, self.comes_about = self.comes_about, None
            if comes_about is None:
                commit(producer, failed)
                return
            if comes_about:
                commit(producer, failed)
            else:
                producer.flush(10)
            self.transactions._let_go()
            raise OutcomeUnknownError("nobody answers", fenced=False)

        self.transactions._commit = lost  # type: ignore[method-assign]
        return recovered


def uncertain(logs: KafkaLogs) -> Uncertain:
    return Uncertain(logs.cluster, logs.topics, 1, logs.cache / "1.db", logs.settings, topic_ids=logs.ids)


def test_a_commit_of_unknown_outcome_that_came_about_is_stored_once(
    logs: KafkaLogs, caplog: pytest.LogCaptureFixture
) -> None:
    storage = uncertain(logs)
    opened = Opened(storage)
    opened.log.append(unit("one"))
    storage.comes_about = True
    opened.log.append(unit("two", state={"k": b"2"}, outbox=[Message(1, 2, b"m")]))
    opened.log.append(unit("three"))
    assert "the outcome of commit 2 was unknown: it is there" in caplog.text
    assert opened.values() == numbered("one", "two", "three")
    assert opened.log.storage.state_get("k") == b"2"
    opened.log.close()
    logs.lose_cache()
    again = Opened(logs.storage())
    assert (again.values(), again.recovered.next_sequence) == (numbered("one", "two", "three"), 2)
    again.log.close()


def test_one_that_did_not_is_refused_and_can_be_tried_again(logs: KafkaLogs, caplog: pytest.LogCaptureFixture) -> None:
    storage = uncertain(logs)
    opened = Opened(storage)
    opened.log.append(unit("one"))
    storage.comes_about = False
    with pytest.raises(AppendError, match="was not finished in time and was aborted"):
        opened.log.append(unit("two", state={"k": b"2"}))
    assert "the outcome of commit 2 was unknown: it is not there" in caplog.text
    assert opened.log.storage.state_get("k") is None
    opened.log.append(unit("two"))
    assert opened.values() == numbered("one", "two")
    assert opened.log.append_failures["timeout"] == 1
    opened.log.close()


def test_a_transaction_that_took_too_long_is_told_apart_from_a_rival(
    logs: KafkaLogs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    storage = logs.storage()
    opened = Opened(storage)
    opened.log.append(unit("one"))
    # What Kafka does at the timeout is what any new epoch does.
    other = logs.cluster.transactional(logs.topics.transactional_id(1), timeout_ns=10 * NS_PER_SECOND)
    other.init_transactions(20)
    with pytest.raises(AppendError, match="was not finished in time and was aborted"):
        opened.log.append(unit("two"))
    assert "a commit was not finished in 10 s and was aborted by Kafka; opened again" in caplog.text
    opened.log.append(unit("two"))
    assert opened.values() == numbered("one", "two")
    assert storage.fenced == {"taken_over": 0, "timeout": 1}
    opened.log.close()


def test_a_unit_that_is_too_large_is_refused_alone(kafka: str, tmp_path: Path) -> None:
    opened = Opened(KafkaLogs(kafka, tmp_path).storage())
    with pytest.raises(
        AppendError, match=r"a unit is larger than Kafka takes .*write smaller batches, or raise max.mess"
    ):
        opened.log.append(unit("x" * (17 << 20)))
    assert opened.log.append_failures["too_large"] == 1
    opened.log.append(unit("small"))
    assert opened.values() == numbered("small")
    opened.log.close()


def test_a_failure_that_concerns_all_is_not_tried_for_each(logs: KafkaLogs) -> None:
    calls: list[int] = []

    class Silent(KafkaLogStorage):
        def commit(self, entries: Sequence[Any]) -> None:
            calls.append(len(entries))
            raise StorageError("timeout", "Kafka does not answer")

    storage = Silent(logs.cluster, logs.topics, 1, logs.cache / "1.db", logs.settings, topic_ids=logs.ids)
    storage.pace = type(storage.pace)(linger_ns=NS_PER_SECOND)
    opened = Opened(storage)
    errors: list[str] = []

    def write() -> None:
        try:
            opened.log.append(unit(*range(500)))
        except AppendError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(calls) == len(errors) == 3
    assert max(calls) > 1, "they shared a commit"
    opened.log.close()


# -- the cache ---


def filled(logs: KafkaLogs) -> None:
    opened = Opened(logs.storage())
    opened.log.append(unit("one", state={"a": b"1", "b": b"1"}))
    opened.log.append(unit("two", state={"a": None, "b": b"2"}))
    opened.log.close()


def check_whole(logs: KafkaLogs, **options: Any) -> int:
    """Opens the log, looks at all of it, and says how many rows were read."""
    opened = Opened(logs.storage(**options))
    assert dict(opened.log.storage.state_scan("")) == {"b": b"2"}
    assert opened.values() == numbered("one", "two")
    opened.log.close()
    return opened.storage.cluster().restored_rows


def test_a_warm_cache_reads_only_what_is_new(logs: KafkaLogs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    filled(logs)
    # Who has it is always said anew.
    assert check_whole(logs) == 1
    assert "read anew" not in caplog.text
    assert "partition 1 runs: restored 1 rows in" in caplog.text


def test_a_cache_that_was_killed_behind_the_log_catches_up(logs: KafkaLogs, tmp_path: Path) -> None:
    opened = Opened(logs.storage())
    opened.log.append(unit("one", state={"a": b"1", "b": b"1"}))
    opened.log.append(unit("two", state={"a": None, "b": b"2"}))
    image = tmp_path / "image"
    image.mkdir()
    for file in tmp_path.glob("1.db*"):
        (image / file.name).write_bytes(file.read_bytes())
    opened.log.close()
    logs.cache = image
    assert check_whole(logs) > 1


@pytest.mark.parametrize("what", ["damaged", "cut", "emptied"])
def test_a_damaged_cache_is_read_anew(logs: KafkaLogs, what: str) -> None:
    filled(logs)
    file = logs.cache / "1.db"
    content = file.read_bytes()
    changed = {"damaged": os.urandom(len(content)), "cut": content[: len(content) // 2], "emptied": b""}
    file.write_bytes(changed[what])
    assert check_whole(logs) > 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"stale_seconds": -1}, "is older than what Kafka remembers of deletions; it is read anew"),
        ({"topic_ids": {"t": "of another life"}}, "is from another topic; it is read anew"),
    ],
)
def test_a_cache_in_doubt_is_read_anew_and_that_is_said(
    logs: KafkaLogs, caplog: pytest.LogCaptureFixture, options: Any, why: str
) -> None:
    caplog.set_level(logging.INFO)
    filled(logs)
    assert check_whole(logs, **options) > 1
    assert f"partition 1: the local state {why}" in caplog.text


def test_the_cache_is_never_ahead_of_the_log(logs: KafkaLogs) -> None:
    storage = uncertain(logs)
    opened = Opened(storage)
    opened.log.append(unit("one", state={"a": b"1"}))
    storage.comes_about = False
    with pytest.raises(AppendError):
        opened.log.append(unit("two", state={"a": b"2"}))
    opened.log.close()
    db = sqlite3.connect(logs.cache / "1.db")
    assert db.execute("SELECT value FROM state").fetchall() == [(b"1",)]
    db.close()


# -- positions ---


def test_any_position_is_found_in_a_log_of_many_batches_without_an_index(logs: KafkaLogs) -> None:
    opened = Opened(logs.storage())
    for n in range(0, 300, 3):
        opened.log.append(unit(n, n + 1, n + 2))
    opened.log.close()
    again = Opened(logs.storage())
    for position in (1, 2, 150, 151, 152, 299, 300, 7, 220):
        batches = again.log.read(position, 4)
        found = [r.value for batch in batches for r in batch.records_from(position)]
        assert found[: min(4, 301 - position)] == [*range(position - 1, min(position + 3, 300))]
    assert again.log.delete_before(200, 1000) > 0
    assert again.log.read(250, 1)[0].records_from(250)[0].value == 249
    again.log.close()
    third = Opened(logs.storage())
    assert 150 < third.recovered.oldest_position <= 200
    third.log.close()


# -- what is refused ---


def test_a_log_of_a_newer_penstock_is_refused(logs: KafkaLogs) -> None:
    storage = logs.storage()
    storage.recover()
    newer = rows.Head(format=rows.FORMAT + 1).packed()
    storage.transactions.write([Outgoing(logs.topics.state, 0, rows.HEAD_KEY, newer)])
    storage.close()
    with pytest.raises(
        DataFolderError, match=r"partition 1 was written by a newer Penstock \(format 2\), this one reads 1"
    ):
        logs.storage().recover()


def test_a_log_topic_that_was_made_anew_under_its_state_is_refused(logs: KafkaLogs) -> None:
    filled(logs)
    made_anew(logs, logs.topics.log)
    with pytest.raises(DataFolderError, match=r"ends at offset 0|is empty|the log is shorter than it was"):
        logs.storage().recover()


def test_a_state_topic_that_was_made_anew_under_its_log_is_refused(logs: KafkaLogs) -> None:
    filled(logs)
    made_anew(logs, logs.topics.state)
    with pytest.raises(
        DataFolderError, match=r"there are records in topic .*\.log, and .*\.state says that there are none"
    ):
        logs.storage(topic_ids={"x": "anew"}).recover()


def made_anew(logs: KafkaLogs, topic: str) -> None:
    from confluent_kafka.admin import NewTopic

    from tests.support.waiting import wait_until

    admin = logs.cluster.admin()
    admin.delete_topics([topic])[topic].result(20)

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
        except Exception:
            return False
        return True

    assert wait_until(made)


def test_messages_are_in_the_receivers_inbox_with_the_commit_and_only_then(logs: KafkaLogs) -> None:
    sent = Sent()
    sender, receiver = Opened(logs.storage(1, sent=sent)), logs.storage(2, sent=sent)
    receiver.recover()
    assert receiver.inbox.read(0, 10, 50 * NS_PER_MS) == []
    sender.log.append(unit(outbox=[Message(1, 2, b"one"), Message(2, 1, b"to myself"), Message(3, 2, b"two")]))
    found: list[Any] = []
    while len(found) < 2:
        found += receiver.inbox.read(found[-1].offset + 1 if found else 0, 10, NS_PER_SECOND)
    assert [(a.sender, a.sequence, a.command) for a in found] == [(1, 1, b"one"), (1, 3, b"two")]
    assert not receiver.inbox.is_read_to(found[0].offset)
    receiver.inbox.forget_before(found[1].offset + 1)
    sender.log.close()
    receiver.close()


def test_a_closed_storage_takes_and_reads_nothing(logs: KafkaLogs) -> None:
    storage = logs.storage()
    storage.recover()
    storage.close()
    with pytest.raises(StorageError, match="the log is closed"):
        storage.commit([])
    assert not isinstance(StorageError("timeout", ""), LostPartitionError)


def test_what_a_process_before_has_written_is_deleted_too(logs: KafkaLogs) -> None:
    opened = Opened(logs.storage())
    for n in range(100):
        opened.log.append(unit(n))
    opened.log.close()
    again = Opened(logs.storage())
    again.log.append(unit(100))
    assert again.log.delete_before(60, 10) > 0
    assert again.log.read(70, 1)[0].first_position > 1
    again.log.close()
    third = Opened(logs.storage())
    assert 1 < third.recovered.oldest_position <= 60
    third.log.close()


def test_a_partition_says_how_its_brokers_answer_and_goes_on_hearing_of_them_while_nothing_is_written(
    logs: KafkaLogs,
) -> None:
    opened = Opened(logs.storage())
    opened.log.append(unit("one"))

    def heard() -> bool:
        # As the upkeep of the partition does it.
        opened.log.storage.attend()
        return any(broker.rtt_seconds for broker in opened.storage.cluster().brokers.values())

    assert wait_until(heard, seconds=30)
    (broker,) = opened.storage.cluster().brokers.values()
    assert broker.rtt_seconds is not None
    assert 0 < broker.rtt_seconds < 10
    assert broker.throttle_seconds == 0
    opened.log.close()
    assert opened.storage.cluster().brokers == {}


def test_a_partition_that_is_being_opened_says_how_many_rows_are_left(logs: KafkaLogs) -> None:
    filled(logs)
    logs.lose_cache()
    storage = logs.storage()
    left: list[int] = []
    take_in = storage._cache.take_in

    def looked(messages: Any) -> Any:
        left.append(storage.cluster().restore_remaining_rows)
        return take_in(messages)

    storage._cache.take_in = looked  # type: ignore[method-assign]
    opened = Opened(storage)
    assert left
    assert left[0] > 0
    seen = opened.storage.cluster()
    assert (seen.restore_remaining_rows, seen.restored_rows > 0) == (0, True)
    opened.log.close()
