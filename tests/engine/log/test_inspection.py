"""What `penstock log` finds in a partition, whole or damaged, and what a repair leaves."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clock import ManualClock
from engine.core.columns import Content
from engine.core.errors import DataFolderError
from engine.core.records import WriteSource
from engine.core.unit import Unit
from engine.log import load
from engine.log.local.inspection import Inspection
from engine.log.local.repair import repair
from engine.log.lost import LOST_INTENT
from engine.log.partition_log import PartitionLog
from engine.log.storage import Entry
from tests.support.logs import change, commands, contents, damage, fill, local_log

START_NS = ManualClock().wall_ns()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a partition belongs."""
    return tmp_path / "1"


@pytest.fixture
def path(place: Path) -> Path:
    fill(place, [3, 1, 4, 2])
    return place


def inspected(path: Path) -> Inspection:
    return Inspection(1, path)


def damages(path: Path) -> list[tuple[int, int, str]]:
    with inspected(path) as inspection:
        return [(d.first_position, d.last_position, d.why) for d in inspection.verify().damages]


def test_the_overview_says_what_is_there(path: Path) -> None:
    with inspected(path) as inspection:
        overview = inspection.overview()
    assert (overview.batches, overview.records) == (4, 10)
    assert (overview.oldest_position, overview.last_position) == (1, 10)
    assert overview.oldest_timestamp_ns == START_NS
    assert overview.last_timestamp_ns == START_NS + 3_000_000_000
    assert overview.processed_position == 9
    assert overview.exporters == {"file": 5}
    assert overview.size_bytes >= sum(map(len, contents(path).values())) > 0


def test_an_empty_partition_has_no_records_and_is_whole(place: Path) -> None:
    fill(place, [])
    with inspected(place) as inspection:
        overview = inspection.overview()
    assert (overview.records, overview.oldest_position, overview.last_position) == (0, 1, 0)
    assert overview.oldest_timestamp_ns is None
    assert damages(place) == []


@pytest.mark.parametrize(
    ("first", "last", "positions"),
    [(1, None, [*range(1, 11)]), (3, 5, [3, 4, 5]), (4, 4, [4]), (10, None, [10]), (11, None, []), (5, 2, [])],
)
def test_records_come_from_any_position_to_any_other(
    path: Path, first: int, last: int | None, positions: list[int]
) -> None:
    with inspected(path) as inspection:
        found = list(inspection.records(first, last))
    assert [record.position for record in found] == positions
    assert [record.value["n"] for record in found] == [position - 1 for position in positions]


def test_many_batches_are_read_a_few_at_a_time_without_a_gap(place: Path) -> None:
    fill(place, [1] * 450)
    with inspected(place) as inspection:
        assert [record.position for record in inspection.records(7)] == list(range(7, 451))
    assert damages(place) == []


def database_of(path: Path) -> Path:
    return path / "state.db"


def test_a_whole_log_is_whole(path: Path) -> None:
    assert damages(path) == []


def test_a_damaged_batch_is_found_with_its_positions(path: Path) -> None:
    damage(path, 5)
    assert damages(path) == [(5, 8, "its checksum does not match its content")]


def test_positions_that_retention_has_deleted_are_not_missing(path: Path) -> None:
    storage = local_log(path)
    storage.recover()
    assert storage.delete_before(5, 100) == 2
    # Something has to be told the database for it to hear of what is deleted.
    storage.commit([Entry(Unit(source=WriteSource.INTERNAL, processed_position=10), None)])
    storage.close()
    assert damages(path) == []
    with inspected(path) as inspection:
        assert inspection.overview().oldest_position == 5


def test_reading_at_a_damaged_batch_stops_with_its_position(path: Path) -> None:
    damage(path, 5)
    with inspected(path) as inspection:
        records = inspection.records(1)
        assert [next(records).position for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(DataFolderError, match="batch at position 5 is damaged"):
            next(records)


def test_what_is_nested_too_deep_to_be_read_is_as_it_was_written_and_no_damage(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = load.encode_batch

    def encode_deeper(records: Content) -> tuple[bytes, str]:
        blob, kinds = encode(records)
        before, after = blob.split(b"\x81\xa1n")
        return before + b"\x91" * 100_000 + after, kinds

    monkeypatch.setattr(load, "encode_batch", encode_deeper)
    fill(place, [1])
    assert damages(place) == []
    with (
        inspected(place) as inspection,
        pytest.raises(DataFolderError, match="batch at position 1 is nested too deep to be read"),
    ):
        list(inspection.records(1))


@pytest.mark.parametrize("look", [lambda one: one.verify(), lambda one: one.overview()], ids=["verify", "overview"])
def test_a_database_that_is_damaged_itself_is_beyond_repair_and_says_so(
    path: Path, look: Callable[[Inspection], object]
) -> None:
    file = database_of(path)
    db = sqlite3.connect(file)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'timer'").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xa5" * size
    file.write_bytes(content)
    said = f"{re.escape(file.name)}: the database itself is damaged"
    with pytest.raises(DataFolderError, match=said), inspected(path) as inspection:
        look(inspection)


@pytest.mark.parametrize("content", [b"no database at all, just text" * 300, b""])
def test_what_is_no_database_of_ours_is_damaged(path: Path, content: bytes) -> None:
    database_of(path).write_bytes(content)
    with pytest.raises(DataFolderError, match=r"the database itself is damaged .*; bring it back"), inspected(path):
        pass


def test_half_of_a_database_is_damaged(path: Path) -> None:
    file = database_of(path)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DataFolderError, match=r"the database itself is damaged .*; bring it back"), inspected(path):
        pass


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_is_refused_with_both_numbers(path: Path, version: int) -> None:
    change(database_of(path), "UPDATE meta SET value = ? WHERE key = 'format'", version)
    with (
        pytest.raises(DataFolderError, match=f"has format {version}, this version reads format 2"),
        inspected(path),
    ):
        pass


def test_looking_changes_nothing_and_works_beside_a_writer(path: Path) -> None:
    log = PartitionLog(1, local_log(path), ManualClock(), committed=lambda _: None)
    log.open()
    with inspected(path) as inspection:
        assert inspection.overview().records == 10
        log.append(commands(["while it is looked at"]))
        assert inspection.overview().records == 11
        assert [record.value for record in inspection.records(11)] == ["while it is looked at"]
        assert inspection.verify().damages == ()
    log.close()
    before = contents(path)
    assert damages(path) == []
    after = contents(path)
    assert {name: after[name] for name in before} == before


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    hit=st.sets(st.integers(0, 11), max_size=4),
)
def test_a_repair_makes_any_damaged_log_whole_and_loses_nothing_but_the_damaged_batches(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], hit: set[int]
) -> None:
    path = tmp_path_factory.mktemp("repair") / "1"
    fill(path, sizes)
    firsts = [1 + sum(sizes[:i]) for i in range(len(sizes))]
    damaged = {i for i in hit if i < len(sizes)}
    for index in damaged:
        damage(path, firsts[index])
    with inspected(path) as inspection:
        verdict = inspection.verify()
    lost = {firsts[i] + n for i in damaged for n in range(sizes[i])}
    assert {p for d in verdict.damages for p in range(d.first_position, d.last_position + 1)} == lost

    repair(path, verdict.damages)

    assert damages(path) == []
    with inspected(path) as inspection:
        records = list(inspection.records(1))
    assert [record.position for record in records] == list(range(1, sum(sizes) + 1))
    for record in records:
        if record.position in lost:
            assert (record.record_type, record.value_type, record.intent) == ("event", "penstock", LOST_INTENT)
        else:
            assert record.value == {"n": record.position - 1}
    told = [record.value for record in records if record.position in lost and record.value is not None]
    assert [(t["firstPosition"], t["lastPosition"]) for t in told] == [
        (d.first_position, d.last_position) for d in verdict.damages
    ]


def test_a_repaired_log_is_written_and_read_on_behind_all_it_ever_held(path: Path) -> None:
    damage(path, 9)
    with inspected(path) as inspection:
        repair(path, inspection.verify().damages)
    log = PartitionLog(1, local_log(path), ManualClock(), committed=lambda _: None)
    assert log.open().last_position == 10
    log.append(commands(["after"]))
    assert [r.position for b in log.read(1, 100) for r in b.records] == list(range(1, 12))
    log.close()
