"""Where a record exporter begins, and which of its positions counts for what."""

from __future__ import annotations

import logging

import pytest

from engine.core.unit import Acknowledgement, Recovered
from engine.partition.exporter_cells import ExporterCells

RECOVERED = Recovered(
    last_position=90,
    oldest_position=11,
    acknowledged={
        "known": Acknowledgement("known", 40, b"forty"),
        "late": Acknowledgement("late", 5, b"five"),
        "gone": Acknowledgement("gone", 60, None),
    },
)


def cells() -> ExporterCells:
    return ExporterCells(3, RECOVERED, ["known", "late", "new", "at end"])


def add(made: ExporterCells, name: str, *, from_end: bool = False) -> Acknowledgement:
    return made.add(name, from_end=from_end, pace_per_second=None)


def test_an_exporter_goes_on_where_it_stood_and_a_new_one_begins_at_either_end() -> None:
    made = cells()
    assert add(made, "known", from_end=True) == Acknowledgement("known", 40, b"forty")
    assert add(made, "new") == Acknowledgement("new", 10, None)
    assert add(made, "at end", from_end=True) == Acknowledgement("at end", 90, None)
    assert made.positions() == {"known": 40, "new": 10, "at end": 90}
    assert made.lowest() == 10


def test_one_whose_records_are_gone_begins_at_the_oldest_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="penstock.partition")
    assert add(cells(), "late") == Acknowledgement("late", 10, b"five")
    (said,) = caplog.messages
    assert said == ("exporter late on partition 3 stood at position 5 and goes on at 11: what lies between is not kept")


def test_one_that_is_not_configured_any_more_is_named_and_holds_nothing_back(caplog: pytest.LogCaptureFixture) -> None:
    made = cells()
    add(made, "known")
    add(made, "late")
    caplog.clear()
    made.warn_of_removed()
    (said,) = caplog.messages
    assert said.startswith("exporter gone is no longer configured")
    assert "gone" not in made.positions()
    assert len(made.stored_positions()) == 2


def test_a_position_counts_when_it_is_acknowledged_and_for_retention_once_it_is_stored() -> None:
    made = cells()
    add(made, "known")
    add(made, "new")
    said = Acknowledgement("new", 50, None)
    made.acknowledged(said)
    assert made.lowest() == 40
    assert made.stored_positions() == [40, None]
    made.stored({"new": said})
    assert made.stored_positions() == [40, 50]


def test_what_the_log_cannot_tell_is_unknown() -> None:
    made = cells()
    add(made, "known")
    (seen,) = made.snapshots(made.positions(), 90, lambda _: None)
    assert (seen.backlog_records, seen.oldest_unexported_wall_ns) == (50, None)


def test_without_exporters_there_is_no_lowest_position() -> None:
    assert cells().lowest() is None


def test_a_snapshot_is_of_one_moment_whatever_is_acknowledged_meanwhile() -> None:
    made = cells()
    add(made, "known")
    positions = made.positions()
    made.acknowledged(Acknowledgement("known", 80, None))
    (seen,) = made.snapshots(positions, 90, lambda position: 1000 + position)
    assert (seen.exporter, seen.acknowledged_position, seen.backlog_records) == ("known", 40, 50)
    assert seen.oldest_unexported_wall_ns == 1040
