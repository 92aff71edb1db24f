"""The live view at the two sizes people have, and the same in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.condition import Condition
from penstock.demo.bars import cells
from penstock.demo.readings import readings
from penstock.demo.script import PHASES
from penstock.demo.status_line import phase_line, status_line
from tests.penstock.demo.frames import URL, busy_readings, frame, moment
from tests.support.snapshots import engine_snapshot

SIZES = [(80, 24), (140, 40)]
sizes = pytest.mark.parametrize(("width", "height"), SIZES, ids=["80x24", "140x40"])


def line_with(lines: list[str], start: str) -> str:
    return next(line for line in lines if line.strip().startswith(start))


@sizes
def test_a_frame_shows_rates_backlog_limits_tasks_phase_and_links(width: int, height: int) -> None:
    lines = frame(width, height)
    text = "\n".join(lines)
    assert "read 240 flights/s" in text
    assert "150,000 of 100,000 acceptable" in line_with(lines, "partition 1")
    assert "533 of 4,000 records/s" in line_with(lines, "THROTTLED")
    assert "phase 3 of 6" in lines[0]
    assert lines[1].startswith("throttled ")
    assert lines[1].endswith("11 of 44 s")
    assert URL in text
    assert "/metrics" in text
    assert "Ctrl-C" in text
    assert "back-pressured" in line_with(lines, "flights  ")
    assert "busy" in line_with(lines, "parse  ")
    assert "idle" in line_with(lines, "processor ×2")


@sizes
def test_no_line_is_wider_and_no_frame_higher_than_the_terminal(width: int, height: int) -> None:
    lines = frame(width, height, news=[f"line {n}" * 40 for n in range(30)])
    assert len(lines) == height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("index", range(len(PHASES)))
@sizes
def test_in_every_phase_the_links_stand_within_the_terminal(index: int, width: int, height: int) -> None:
    # As many tasks and as long a sentence of blame as in the demo itself.
    seen = busy_readings()
    now = replace(seen, tasks=seen.tasks + seen.tasks[:2], blame="held back, and so on " * 7)
    lines = frame(width, height, at=moment(index), now=now)
    assert any(URL in line for line in lines)


def test_the_mark_of_a_throttled_partition_stands_at_that_partition_alone() -> None:
    lines = frame(80, 24)
    assert sum("THROTTLED" in line for line in lines) == 1
    first = next(n for n, line in enumerate(lines) if line.startswith("partition 1"))
    assert "THROTTLED" in lines[first + 1]


def test_the_backlog_fills_its_bar_as_far_as_it_is_acceptable() -> None:
    seen = busy_readings()
    quarter = replace(seen, partitions=(replace(seen.partitions[0], backlog_records=25_000),))
    line = line_with(frame(140, 40, now=quarter), "partition 1")
    bar = line[line.index("█") : line.rindex("·") + 1]
    assert bar.count("█") == pytest.approx(len(bar) / 4, abs=1)
    assert bar.index("│") == pytest.approx(len(bar) / 2, abs=1), "where throttling begins"


def test_what_is_unknown_is_not_shown_as_zero() -> None:
    lines = frame(80, 24, now=readings(engine_snapshot(), engine_snapshot()))
    assert line_with(lines, "partition 1").endswith("unknown")
    assert line_with(lines, "limit ").endswith("none")


@sizes
def test_the_task_to_blame_has_a_mark_and_no_other(width: int, height: int) -> None:
    assert [line.split()[0] for line in frame(width, height) if "◀" in line] == ["file"]


def test_later_rounds_are_counted_in_the_title() -> None:
    assert "round" not in frame(80, 24)[0]
    assert "round 3" in frame(80, 24, at=moment(round_=3))[0]


def test_the_newest_lines_of_the_log_stand_below_where_there_is_room() -> None:
    news = [f"news {n}" for n in range(30)]
    tall = frame(140, 40, news=news)
    assert "news 29" in tall
    assert "news 0" not in tall
    assert not any("news" in line for line in frame(80, 20, news=news))


def test_the_end_is_said_in_place_of_how_to_end() -> None:
    text = "\n".join(frame(80, 24, ending="ending: a moment"))
    assert "ending: a moment" in text
    assert "Ctrl-C" not in text


def test_the_status_line_says_the_same_in_one_line() -> None:
    line = status_line(busy_readings(), moment())
    assert line.startswith(" 1:15  throttled      [refusing]  read")
    assert "read 240/s" in line
    assert "p1 backlog 150,000/100,000 limit 533/4,000 THROTTLED  p2 backlog 0  " in line
    assert "\n" not in line


@pytest.mark.parametrize("condition", Condition)
def test_how_it_is_stands_at_the_top_in_the_word_that_everybody_uses(condition: Condition) -> None:
    assert f"  {condition.words}  " in frame(80, 24, now=replace(busy_readings(), condition=condition))[0]


def test_a_phase_is_announced_with_its_sentence() -> None:
    assert phase_line(moment(0)) == f" 1:15  -- calm: {PHASES[0].sentence}"


@given(shares=st.lists(st.floats(0, 1), max_size=5), width=st.integers(0, 200))
def test_the_parts_of_a_bar_fit_it_and_are_right_to_one_cell(shares: list[float], width: int) -> None:
    scale = max(1.0, sum(shares))
    shares = [share / scale for share in shares]
    counts = cells(shares, width)
    assert sum(counts) <= width
    for share, count in zip(shares, counts, strict=True):
        assert abs(count - share * width) <= 1 + 1e-6


def test_a_share_beyond_the_whole_fills_the_bar() -> None:
    assert cells([1.7], 10) == [10]
    assert cells([0.5, 0.9], 10) == [5, 5]
