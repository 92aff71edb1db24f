"""Records from outside: all partitions admit before any is written, and what was written is always known."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import (
    Engine,
    EngineOptions,
    FlowControlSettings,
    ManualClock,
    Pipeline,
    Refusal,
    WriteFailedError,
    WriteLimitSettings,
    Written,
    WrongRecordError,
)
from engine.core.identity import partition_of
from engine.core.records import WriteSource
from engine.core.snapshot import Outcome
from engine.flow.settings import FixedSettings, RequestAlgorithm, RequestLimitSettings
from engine.log.memory import MemoryStorage
from engine.log.storage import Entry, StorageError
from engine.partition.retention import DiskSpace
from tests.support.pipelines import CollectingExporter
from tests.support.waiting import WAIT_SECONDS, wait_until

FOREVER = EngineOptions(storage="memory", run_forever=True)
# Keys of the first and of the second partition of two.
ONE = next(key for key in map(str, range(100)) if partition_of(key, 2) == 1)
TWO = next(key for key in map(str, range(100)) if partition_of(key, 2) == 2)


def limited(limit: int) -> FlowControlSettings:
    return FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=limit))


def keyed(*keys: str) -> list[dict[str, Any]]:
    return [{"k": key, "n": n} for n, key in enumerate(keys)]


def written_up_to(engine: Engine) -> list[int]:
    return [partition.last_written_position for partition in engine.snapshot().partitions]


def test_each_value_goes_to_the_partition_of_its_key_and_its_place_is_told(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("p", partitions=2).key_by("k").export("all", exporter.factory)
    with pipeline.run(tmp_path, options=FOREVER) as engine:
        written = engine.write(keyed(ONE, TWO, ONE))
        assert isinstance(written, Written)
        # Position 1 of each partition is the engine's own.
        assert [(place.partition, place.position) for place in written.places] == [(1, 2), (2, 2), (1, 3)]
        assert wait_until(lambda: len(exporter.values("record")) == 3)
    found = {r.value["n"]: r for records in exporter.records.values() for r in records if r.value_type == "record"}
    assert (found[1].key, found[1].record_type, found[1].source_position) == (TWO, "command", -1)


def test_a_partition_that_is_named_wins_over_the_key(tmp_path: Path) -> None:
    with Pipeline("p", partitions=2).key_by("k").run(tmp_path, options=FOREVER) as engine:
        written = engine.write(keyed(ONE), partition=2)
        assert isinstance(written, Written)
        assert written.places[0].partition == 2
        with pytest.raises(WrongRecordError, match="there is no partition 3; there are 1 to 2"):
            engine.write(keyed(ONE), partition=3)


def test_without_a_key_a_partition_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    with Pipeline("p", partitions=2).run(tmp_path, options=FOREVER) as engine:
        with pytest.raises(WrongRecordError, match="the pipeline has no key"):
            engine.write([{}])
        assert isinstance(engine.write([{}], partition=1), Written)


@pytest.mark.parametrize("partitions", [1, 2])
def test_nothing_to_write_is_written_at_once(tmp_path: Path, partitions: int) -> None:
    with Pipeline("p", partitions=partitions).run(tmp_path, options=FOREVER) as engine:
        before = written_up_to(engine)
        assert engine.write([], partition=1) == Written(())
        assert written_up_to(engine) == before


@pytest.mark.parametrize("bad", [{"n": 1}, {"k": None}, {"k": ONE, "n": 2**70}])
def test_one_value_that_cannot_be_a_record_keeps_all_from_being_written(tmp_path: Path, bad: dict[str, Any]) -> None:
    with Pipeline("p", partitions=2).key_by("k").run(tmp_path, options=FOREVER) as engine:
        before = written_up_to(engine)
        with pytest.raises(WrongRecordError) as raised:
            engine.write([*keyed(ONE, TWO), bad])
        assert raised.value.index == 2
        with pytest.raises(WrongRecordError) as alone:
            engine.write([bad], partition=1)
        assert alone.value.index == 0
        assert written_up_to(engine) == before


def test_a_refusal_of_one_partition_writes_nothing_and_gives_all_permits_back(tmp_path: Path) -> None:
    clock = ManualClock()
    pipeline = Pipeline("p", partitions=2).key_by("k")
    engine = Engine(pipeline, tmp_path, flow_control=limited(10), options=FOREVER, clock=clock)
    with engine:
        clock.advance(10)
        # Partition 2 is in debt for a second; partition 1 has a second of permits.
        assert isinstance(engine.write(keyed(*[TWO] * 20)), Written)
        before = written_up_to(engine)
        for _ in range(50):
            refusal = engine.write(keyed(*[ONE] * 9, TWO))
            assert isinstance(refusal, Refusal)
            assert (refusal.partition, refusal.outcome) == (2, Outcome.WRITE_RATE_LIMIT_EXHAUSTED)
        assert written_up_to(engine) == before
        writes = engine.snapshot().partitions[0].flow.writes
        assert writes[WriteSource.USER_COMMAND, Outcome.ACCEPTED] == 0
        # Nothing of partition 1's permits is gone for it: ten at once, and then one more on account.
        granted = 0
        while isinstance(engine.write(keyed(ONE)), Written):
            granted += 1
        assert granted == 11


def test_a_refusal_gives_the_slots_in_flight_back(tmp_path: Path) -> None:
    request = RequestLimitSettings(enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=1))
    gate = threading.Event()

    class Slow:
        def process(self, record: Any, context: Any) -> None:
            gate.wait(WAIT_SECONDS)

    pipeline = Pipeline("p", partitions=2).process(Slow, key="k")
    with pipeline.run(tmp_path, flow_control=FlowControlSettings(request=request), options=FOREVER) as engine:
        assert isinstance(engine.write(keyed(TWO)), Written)
        refusal = engine.write(keyed(ONE, TWO))
        assert isinstance(refusal, Refusal)
        assert (refusal.partition, refusal.outcome) == (2, Outcome.REQUEST_LIMIT_EXHAUSTED)
        assert [p.flow.requests_in_flight for p in engine.snapshot().partitions] == [0, 1]
        gate.set()
        assert wait_until(lambda: isinstance(engine.write(keyed(ONE, TWO)), Written))
        assert wait_until(lambda: all(p.flow.requests_in_flight == 0 for p in engine.snapshot().partitions))


class BrokenStorage(MemoryStorage):
    """Stores until it is told not to."""

    broken = False

    def commit(self, entries: Sequence[Entry]) -> None:
        if self.broken:
            raise StorageError("disk_full", "no space left")
        super().commit(entries)


def test_a_failure_half_way_tells_what_was_written_all_the_same(tmp_path: Path) -> None:
    storages = {1: BrokenStorage(), 2: BrokenStorage()}
    engine = Engine(Pipeline("p", partitions=2).key_by("k"), tmp_path, options=FOREVER, storage=storages.__getitem__)
    with engine:
        storages[2].broken = True
        with pytest.raises(WriteFailedError) as raised:
            engine.write(keyed(TWO, ONE, TWO, ONE))
        assert "partition 2 could not store a write: no space left" in str(raised.value)
        assert not raised.value.passing
        assert {i: (p.partition, p.position) for i, p in raised.value.written.items()} == {1: (1, 2), 3: (1, 3)}
        storages[2].broken = False
        assert isinstance(engine.write(keyed(TWO)), Written)


def test_little_disk_space_takes_nothing(tmp_path: Path) -> None:
    with Pipeline("p").run(tmp_path, options=FOREVER) as engine:
        engine._partitions[1].set_disk_space(DiskSpace.LOW)
        with pytest.raises(WriteFailedError, match="the disk of partition 1 is all but full") as raised:
            engine.write([{}])
        assert not raised.value.passing
        assert raised.value.written == {}
        engine._partitions[1].set_disk_space(DiskSpace.ENOUGH)
        assert isinstance(engine.write([{}]), Written)


def test_an_engine_that_is_not_running_takes_nothing(tmp_path: Path) -> None:
    engine = Pipeline("p").run(tmp_path, options=FOREVER)
    with pytest.raises(WriteFailedError) as before:
        engine.write([{}])
    with engine:
        engine.write([{}])
    with pytest.raises(WriteFailedError) as after:
        engine.write([{}])
    assert before.value.passing
    assert after.value.passing


def test_a_stop_in_the_midst_of_writes_loses_none_that_were_answered(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("p", partitions=2).key_by("k").export("all", exporter.factory)
    answered: list[int] = []
    lock = threading.Lock()

    def keep_writing(engine: Engine, first: int) -> None:
        for n in range(first, first + 100_000):
            try:
                engine.write([{"k": ONE if n % 2 else TWO, "n": n}])
            except WriteFailedError:
                return
            with lock:
                answered.append(n)

    with pipeline.run(tmp_path, options=FOREVER) as engine:
        writers = [threading.Thread(target=keep_writing, args=(engine, i * 1_000_000)) for i in range(4)]
        for writer in writers:
            writer.start()
        assert wait_until(lambda: len(answered) > 200)
        engine.stop()
        for writer in writers:
            writer.join(WAIT_SECONDS)
    assert sorted(value["n"] for value in exporter.values("record")) == sorted(answered)
