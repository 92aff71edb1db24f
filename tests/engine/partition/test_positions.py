"""Where everybody stands is told as of one moment, also while a commit is being made known."""

from __future__ import annotations

from engine.core.clock import ManualClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Acknowledgement, Recovered, Unit
from engine.partition.positions import Positions
from tests.support import snapshots


def made(*, has_processor: bool) -> Positions:
    positions = Positions(1, Recovered(), ["file"], ManualClock(), has_processor=has_processor)
    positions.exporters.add("file", from_end=False, pace_per_second=None)
    return positions


def unit(first: int, count: int) -> Unit:
    records = [Record(RecordType.COMMAND, "t", "create", "k", n) for n in range(count)]
    written = Unit(source=WriteSource.USER_COMMAND, records=records)
    written.first_position = first
    return written


def backlog(positions: Positions) -> int:
    standing = positions.standing(lambda written, lowest: snapshots.flow())
    assert standing.lowest is not None
    return standing.written - standing.lowest


def test_whoever_reads_ahead_of_what_is_known_to_be_written_makes_no_backlog_below_zero() -> None:
    # The records of a commit can be read a moment before the partition has been told of it.
    positions = made(has_processor=False)
    positions.committed([unit(1, 10)])
    positions.acknowledged(Acknowledgement("file", 25, None))
    assert backlog(positions) == 0
    # Told of the first part of what was read, and then of all of it and more.
    positions.committed([unit(11, 5)])
    assert (positions.written, backlog(positions)) == (25, 0)
    positions.committed([unit(16, 20)])
    assert (positions.written, backlog(positions)) == (35, 10)


def test_a_processor_that_reads_ahead_is_never_beyond_what_is_written() -> None:
    positions = made(has_processor=True)
    positions.committed([unit(1, 10)])
    positions.mark_processed(12)
    assert (positions.written, positions.processed) == (12, 12)
    positions.committed([unit(11, 2)])
    assert positions.written == 12
