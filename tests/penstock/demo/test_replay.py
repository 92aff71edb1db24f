"""The endless source: the same values at the same offsets, for ever."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import ConfigurationError, ManualClock, SourceStart, SystemClock
from engine.sources.protocol import is_prompt
from penstock.demo.pace import Pace, Speed
from penstock.demo.replay import Replay

LINES = [b"a", b"b", b"c"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "lines.gz"
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in LINES)))
    return path


def replay(file: Path) -> Replay:
    return Replay(file, Pace(Speed(), SystemClock()))


def opened(file: Path, offset: int) -> Replay:
    source = replay(file)
    source.check()
    source.open(SourceStart(offset, None))
    return source


def test_its_read_never_waits_and_the_engine_knows(file: Path) -> None:
    source = Replay(file, Pace(Speed(1.0), ManualClock()))
    assert is_prompt(source)
    source.open(SourceStart(0, None))
    assert [len(source.read(10).values) for _ in range(2)] == [1, 0], "nothing is due, and nobody moves the clock"


@given(offset=st.integers(0, 10**9), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=10))
def test_a_value_depends_on_its_offset_alone_and_offsets_rise_by_one(file: Path, offset: int, sizes: list[int]) -> None:
    source = opened(file, offset)
    expected = offset + 1
    for size in sizes:
        batch = source.read(size)
        assert batch.first_offset == expected
        assert 1 <= len(batch.values) <= size
        for value in batch.values:
            assert value == LINES[(expected - 1) % len(LINES)]
            expected += 1


def test_it_goes_on_behind_the_end_of_the_file(file: Path) -> None:
    source = opened(file, 2)
    assert [source.read(10).values for _ in range(2)] == [[b"c"], LINES]


def test_a_missing_file_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.gz: no such file"):
        replay(tmp_path / "gone.gz").check()


def test_a_pace_makes_small_batches(file: Path) -> None:
    source = Replay(file, Pace(Speed(40), SystemClock()))
    source.open(SourceStart(0, None))
    assert len(source.read(500).values) == 2


def test_before_its_time_it_gives_nothing_and_stays_where_it_is(file: Path) -> None:
    clock = ManualClock(monotonic_ns=10**12)
    source = Replay(file, Pace(Speed(10), clock))
    source.open(SourceStart(6, None))
    first, early = source.read(500), source.read(500)
    assert (first.first_offset, first.values) == (7, [b"a"])
    # Coming from a standstill, a tenth of a second was in hand.
    assert early.values == [b"b"]
    assert source.read(500).values == []
    assert source.read(500).last_offset == 8
    clock.advance(0.1)
    assert source.read(500).values == [b"c"]
