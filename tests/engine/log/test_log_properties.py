"""Any interleaving of units, refusals, crashes, restarts and retention: positions dense, state the fold of the log."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.core.clock import ManualClock
from engine.core.errors import AppendError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Message, SourceProgress, Timer, Unit
from engine.log.kafka.storage import KafkaLogStorage
from engine.log.local.disk import Disk
from engine.log.local.storage import LocalLogStorage
from engine.log.memory import MemoryStorage
from engine.log.partition_log import PartitionLog
from engine.log.storage import DeletedError, Entry, StorageError
from tests.support.kafka_logs import KafkaLogs
from tests.support.logs import copy_log, local_log

NAMES = st.sampled_from(["a", "b", "c"])


class Died(BaseException):
    """The process is gone: nobody catches this on its way."""


class MortalDisk(Disk):
    """Takes an image of a partition's folder before the bytes of a commit are written, or when half of them are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.image: Path | None = None
        self.dies_in_write = False
        self.refuses = False

    def write(self, file: int, parts: Sequence[bytes], offset: int) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, "no room")
        if self.dies_in_write and os.readlink(f"/proc/self/fd/{file}").endswith(".log"):
            whole = b"".join(parts)
            super().write(file, [whole[: len(whole) // 2]], offset)
            self.die()
        super().write(file, parts, offset)

    def die(self) -> None:
        self.image = Path(tempfile.mkdtemp(dir=self._folder.parent)) / "1"
        copy_log(self._folder, self.image)
        raise Died


class MortalLog(LocalLogStorage):
    """Segments, and a database behind them, so small that a few units make new ones."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            LocalLogStorage(path).make()
        self._mortal = MortalDisk(path)
        self.entries_left: int | None = None
        super().__init__(path, segment_bytes=600, apply_log_bytes=1000, disk=self._mortal)

    @property
    def path(self) -> Path:
        return self._folder

    @property
    def image(self) -> Path | None:
        return self._mortal.image

    @property
    def refuses(self) -> bool:
        return self._mortal.refuses

    @refuses.setter
    def refuses(self, refuses: bool) -> None:
        self._mortal.refuses = refuses

    def commit(self, entries: Sequence[Entry]) -> None:
        self._mortal.dies_in_write = self.entries_left == 1
        super().commit(entries)
        # The applier may be anywhere by now.
        if self.entries_left is not None:
            self._mortal.die()


class MortalMemory(MemoryStorage):
    """Dies before a commit or behind it; in between there is no memory to survive."""

    def __init__(self) -> None:
        super().__init__()
        self.entries_left: int | None = None
        self.refuses = False

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.refuses:
            raise StorageError("disk_full", "no room")
        if self.entries_left == 1:
            raise Died
        super().commit(entries)
        if self.entries_left is not None:
            raise Died


class MortalKafka(KafkaLogStorage):
    """Dies with a transaction open, of which a broker has some, or behind the commit; its cache stays or is lost."""

    def __init__(self, logs: KafkaLogs, cache: Path) -> None:
        self.logs = logs
        self.cache = cache
        self.entries_left: int | None = None
        self.refuses = False
        super().__init__(logs.cluster, logs.topics, 1, cache / "1.db", logs.settings, topic_ids=logs.ids)

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.refuses:
            raise StorageError("disk_full", "no room")
        if self.entries_left == 1:
            producer = self.transactions._producer
            assert producer is not None
            producer.begin_transaction()
            producer.produce(self.logs.topics.log, b"of the dead", partition=0)
            producer.produce(self.logs.topics.state, b"of the dead", b"sa", partition=0)
            producer.flush(5)
            raise Died
        super().commit(entries)
        if self.entries_left is not None:
            raise Died

    def successor(self) -> MortalKafka:
        """On another machine, with what had come into the cache, or without."""
        cache = self.cache.with_name(self.cache.name + "x")
        if len(cache.name) % 2:
            shutil.copytree(self.cache, cache)
        return MortalKafka(self.logs, cache)


@dataclass
class Model:
    """What the log must hold: the plain fold of the units that were acknowledged."""

    records: list[Any] = field(default_factory=list)
    oldest: int = 1
    state: dict[str, bytes] = field(default_factory=dict)
    timers: dict[int, Timer] = field(default_factory=dict)
    next_timer_id: int = 1
    outbox: dict[int, Message] = field(default_factory=dict)
    next_sequence: int = 1
    received: dict[int, int] = field(default_factory=dict)
    progress: dict[str, SourceProgress] = field(default_factory=dict)
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    processed: int = 0

    def apply(self, unit: Unit) -> None:
        self.records += [record.value for record in unit.records]
        for key, value in unit.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        for timer in unit.timers_added:
            self.timers[timer.timer_id] = timer
            self.next_timer_id = timer.timer_id + 1
        for timer_id in unit.timers_fired:
            del self.timers[timer_id]
        for message in unit.outbox:
            self.outbox[message.sequence] = message
            self.next_sequence = message.sequence + 1
        for receiver, sequence in unit.delivered.items():
            self.outbox = {s: m for s, m in self.outbox.items() if m.receiver != receiver or s > sequence}
        self.received.update(unit.received)
        self.progress.update({p.source: p for p in unit.progress})
        self.acknowledged.update(unit.acknowledged)
        if unit.processed_position is not None:
            self.processed = unit.processed_position


class AnyHistory(RuleBasedStateMachine):
    """A partition's log through units of every content, refusals, deaths at any entry of a commit, and restarts."""

    kind: str
    kafka: str = ""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.model = Model()
        self.clock = ManualClock()
        self.numbered = 0
        # A unit whose commit was under way when the process died: it is there whole, or not at all.
        self.memory = MortalMemory()
        path = self.folder / "first" / "1"
        path.parent.mkdir()
        self.storage: Any = {"memory": lambda _: self.memory, "local": MortalLog, "kafka": self._of_kafka}[self.kind](
            path
        )
        self._open()

    def _of_kafka(self, path: Path) -> MortalKafka:
        return MortalKafka(KafkaLogs(self.kafka, path, partitions=3), path / "c")

    def _open(self) -> None:
        self.log = PartitionLog(1, self.storage, self.clock, committed=lambda _: None, tail_bytes=200)
        recovered, model = self.log.open(), self.model
        assert recovered.last_position == len(model.records)
        assert recovered.timers == [model.timers[i] for i in sorted(model.timers)]
        assert recovered.next_timer_id == model.next_timer_id
        # What has an inbox has handed them over with the commit.
        waiting = [model.outbox[s] for s in sorted(model.outbox)] if self.storage.inbox is None else []
        assert recovered.outbox == waiting
        assert recovered.next_sequence == model.next_sequence
        assert recovered.received == model.received
        assert recovered.progress == model.progress
        assert recovered.acknowledged == model.acknowledged
        assert recovered.processed_position == model.processed

    def _unit(self, data: st.DataObject) -> Unit:
        draw, model = data.draw, self.model
        count = draw(st.integers(0, 4), "records")
        records = []
        for _ in range(count):
            records.append(Record(RecordType.COMMAND, "t", "create", "k", self.numbered))
            self.numbered += 1
        added = [Timer(model.next_timer_id + i, draw(st.integers(0, 99)), b"t") for i in range(draw(st.integers(0, 2)))]
        fired = draw(st.lists(st.sampled_from(sorted(model.timers)), unique=True, max_size=2)) if model.timers else []
        sent = [Message(model.next_sequence + i, draw(st.integers(2, 3)), b"m") for i in range(draw(st.integers(0, 2)))]
        sender = draw(st.integers(2, 3))
        return Unit(
            source=WriteSource.PROCESSING_RESULT,
            records=records,
            state=draw(st.dictionaries(NAMES, st.none() | st.binary(max_size=3), max_size=3), "state"),
            timers_added=added,
            timers_fired=fired,
            outbox=sent,
            delivered=draw(st.dictionaries(st.integers(2, 3), st.integers(0, model.next_sequence - 1), max_size=1)),
            received=draw(st.just({}) | st.just({sender: model.received.get(sender, 0) + 1})),
            progress=draw(
                st.just([]) | st.builds(lambda n, o: [SourceProgress(n, o, 0, b"c")], NAMES, st.integers(1, 9))
            ),
            acknowledged=draw(
                st.just({}) | st.builds(lambda n, p: {n: Acknowledgement(n, p, None)}, NAMES, st.integers(0, 9))
            ),
            processed_position=draw(st.none() | st.integers(model.processed, model.processed + 3)),
        )

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        unit = self._unit(data)
        before = len(self.model.records)
        self.log.append(unit)
        self.model.apply(unit)
        if unit.records:
            assert (unit.first_position, unit.last_position) == (before + 1, len(self.model.records))

    @rule(data=st.data())
    def append_is_refused(self, data: st.DataObject) -> None:
        unit = self._unit(data)
        self.storage.refuses = True
        with pytest.raises(AppendError):
            self.log.append(unit)
        self.storage.refuses = False
        assert unit.first_position == -1
        self.numbered -= len(unit.records)

    @rule(data=st.data(), entry=st.integers(1, 2))
    def die(self, data: st.DataObject, entry: int) -> None:
        """At entry 1 in the middle of the transaction, at 2 behind the commit: acknowledged or not, it is whole."""
        unit = self._unit(data)
        self.storage.entries_left = entry
        with pytest.raises(Died):
            self.log.append(unit)
        self.storage.entries_left = None
        if entry == 2:
            self.model.apply(unit)
        else:
            self.numbered -= len(unit.records)
        if isinstance(self.storage, MortalLog):
            assert self.storage.image is not None
            self.storage.close()
            self.storage = MortalLog(self.storage.image)
        if isinstance(self.storage, MortalKafka):
            self.storage = self.storage.successor()
        self._open()
        if self.kind != "memory":
            assert self._oldest() == self.model.oldest, "what retention has deleted stays so"

    def _oldest(self) -> int:
        """The oldest position that can be read; who asks for an older one is told."""
        try:
            self.storage.read(0, 1)
        except DeletedError as error:
            return error.oldest_position
        raise AssertionError("there is no position 0")

    @rule()
    def restart(self) -> None:
        self.log.close()
        if isinstance(self.storage, MortalLog):
            self.storage = MortalLog(self.storage.path)
        if isinstance(self.storage, MortalKafka):
            self.storage = MortalKafka(self.storage.logs, self.storage.cache)
        self._open()

    @precondition(lambda self: self.model.records)
    @rule(part=st.floats(0, 1), steps=st.integers(1, 3))
    def forget_what_is_old(self, part: float, steps: int) -> None:
        before = 1 + round(part * len(self.model.records))
        self.log.delete_before(before, steps)
        # Whole batches go, so how far it came is asked, and must not be further than was allowed.
        oldest = self._oldest()
        assert self.model.oldest <= oldest <= max(before, self.model.oldest)
        self.model.oldest = oldest

    @rule(data=st.data())
    def read_from_anywhere(self, data: st.DataObject) -> None:
        last = len(self.model.records)
        position = data.draw(st.integers(self.model.oldest, last + 2))
        count = data.draw(st.integers(1, 9))
        batches = self.log.read(position, count)
        found = [(r.position, r.value) for batch in batches for r in batch.records_from(position)]
        expected = list(enumerate(self.model.records, start=1))[position - 1 :]
        assert found == expected[: len(found)]
        assert len(found) >= min(count, len(expected))

    @invariant()
    def positions_are_dense_and_values_in_order(self) -> None:
        if not hasattr(self, "log"):
            return
        assert self.log.last_position == len(self.model.records)
        position = self.model.oldest
        # Past the tail in memory: from the storage itself.
        for batch in self.storage.read(self.model.oldest, 10**9):
            assert batch.first_position == position
            position = batch.last_position + 1
        assert position == len(self.model.records) + 1

    @invariant()
    def state_is_the_fold_of_the_units(self) -> None:
        if hasattr(self, "log"):
            assert dict(self.log.storage.state_scan("")) == self.model.state
            assert self.log.storage.state_get("a") == self.model.state.get("a")

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.folder)


@pytest.mark.parametrize(("kind", "examples"), [("memory", 60), ("local", 60), ("kafka", 4)])
@pytest.mark.timeout(600)
def test_any_history_of_a_log_leaves_what_its_acknowledged_units_say(
    kind: str, examples: int, request: pytest.FixtureRequest
) -> None:
    kafka = request.getfixturevalue("kafka") if kind == "kafka" else ""
    machine = type(f"History_{kind}", (AnyHistory,), {"kind": kind, "kafka": kafka})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            database=None,
            # Against a broker another try costs minutes.
            phases=[Phase.generate] if kafka else list(Phase),
            suppress_health_check=list(HealthCheck) if kafka else [],
        ),
    )


# -- many writers at once ---


def test_units_of_many_writers_share_commits_and_each_is_there_once_in_its_own_order(
    tmp_path: Path,
) -> None:
    storage = local_log(tmp_path / "1")
    told: list[int] = []
    log = PartitionLog(1, storage, ManualClock(), committed=lambda units: told.extend(u.first_position for u in units))
    log.open()

    def write(writer: int) -> None:
        for n in range(40):
            records = [Record(RecordType.COMMAND, "t", "create", "k", [writer, n, i]) for i in range(1 + n % 3)]
            log.append(Unit(source=WriteSource.USER_COMMAND, records=records, state={f"{writer}": b"%d" % n}))

    threads = [threading.Thread(target=write, args=(writer,), daemon=True) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = [record for batch in log.read(1, 10**6) for record in batch.records]
    assert [record.position for record in found] == list(range(1, len(found) + 1))
    for writer in range(8):
        own = [record.value for record in found if record.value[0] == writer]
        assert own == [[writer, n, i] for n in range(40) for i in range(1 + n % 3)]
        assert log.storage.state_get(f"{writer}") == b"39"
    assert told == sorted(told), "who follows the log hears of it in its order"
    log.close()
