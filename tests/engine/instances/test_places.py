"""Of all that instances say of a partition, what was said of the latest moment holds."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.snapshot import ClosedSnapshot, ClusterSnapshot, PartitionState, PlaceSnapshot
from engine.instances.board import (
    Board,
    ClosedRow,
    HaltRow,
    InstanceRow,
    OwnerRow,
    halt_key,
    instance_key,
    owner_key,
    packed,
)
from engine.instances.places import Places, closed_row
from tests.support.snapshots import histogram, partition

ME = "p-me"


class Nobody:
    def halt_told(self, partition: int, row: HaltRow | None) -> None:
        return


class Table:
    """A board with those who write on it; what is seen from `me`."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.board = Board(self.clock, Nobody())
        self.board.caught_up()
        self._places = Places(self.board, name="me", process=ME)
        self._count = 0

    def put(self, key: str, row: InstanceRow | OwnerRow | HaltRow) -> None:
        self._count += 1
        self.board.told(key, packed(row), self._count)

    def instance(self, name: str, *closed: ClosedRow) -> None:
        self.put(instance_key(name), InstanceRow(name=name, process=f"p-{name}", since_wall_ns=1, closed=closed))

    def opened(self, number: int, name: str, at: int) -> None:
        self.put(owner_key(number), OwnerRow(instance=name, process=f"p-{name}", since_wall_ns=at))

    def seen(
        self, *closed: ClosedSnapshot, running: dict[int, int] | None = None, partitions: int = 1
    ) -> list[PlaceSnapshot]:
        here = [partition(number, opened_wall_ns=at) for number, at in (running or {}).items()]
        return list(self._places.seen(partitions, here, closed))


def row(state: PartitionState, at: int, **told: object) -> ClosedRow:
    return ClosedRow(partition=1, state=state, since_wall_ns=at, **told)  # type: ignore[arg-type]


def test_what_another_opens_or_reads_or_has_failed_with_is_told_in_its_words() -> None:
    table = Table()
    table.instance("a", row(PartitionState.RESTORING, 5, restore_remaining_rows=1200, restore_seconds_left=2.5))
    (place,) = table.seen()
    assert (place.owner, place.state, place.since_wall_ns) == ("a", PartitionState.RESTORING, 5)
    assert (place.restore_remaining_rows, place.restore_seconds_left) == (1200, 2.5)
    table.instance("a", row(PartitionState.FAILED, 9, why="no luck"))
    (place,) = table.seen()
    assert (place.state, place.why) == (PartitionState.FAILED, "no luck")


def test_who_was_killed_has_nothing_any_more_as_soon_as_another_opens_it() -> None:
    table = Table()
    table.instance("a")
    table.opened(1, "a", 3)
    table.instance("b", row(PartitionState.OPENING, 20))
    assert [(place.owner, place.state) for place in table.seen()] == [("b", PartitionState.OPENING)]


def test_who_was_paused_sees_who_has_it_now_though_it_runs_there_still() -> None:
    table = Table()
    table.instance("b")
    table.opened(1, "b", 20)
    assert [(place.owner, place.state) for place in table.seen(running={1: 3})] == [("b", PartitionState.RUNNING)]
    assert [place.owner for place in table.seen(running={1: 30})] == ["me"]


def test_what_nobody_says_is_his_has_no_owner_and_says_why_where_it_stands_still() -> None:
    table = Table()
    table.opened(1, "a", 3)
    assert table.seen() == [PlaceSnapshot(partition=1)], "a has said nothing for too long"
    table.put(halt_key(1), HaltRow(instance="a", since_wall_ns=4, why="thirteen"))
    assert table.seen() == [PlaceSnapshot(partition=1, why="thirteen")]
    table.instance("a")
    assert [place.owner for place in table.seen()] == ["a"]
    table.clock.advance_ns(60 * NS_PER_SECOND)
    assert [place.owner for place in table.seen()] == [None]


def test_how_long_a_restore_takes_is_guessed_from_how_fast_it_went_and_only_while_it_goes_on() -> None:
    def closed(state: PartitionState, read: int, left: int) -> ClosedSnapshot:
        cluster = ClusterSnapshot(
            is_up=True,
            commit_duration=histogram(),
            transactions={},
            fenced={},
            restored_rows=read,
            restore_seconds=4.0,
            restore_remaining_rows=left,
        )
        return ClosedSnapshot(partition=1, state=state, cluster=cluster, since_wall_ns=7)

    told = closed_row(closed(PartitionState.RESTORING, 1000, 250))
    assert (told.restore_remaining_rows, told.restore_seconds_left) == (250, 1.0)
    assert closed_row(closed(PartitionState.RESTORING, 0, 250)).restore_seconds_left is None
    assert closed_row(closed(PartitionState.CLOSING, 1000, 0)).restore_remaining_rows is None
    (place,) = Table().seen(closed(PartitionState.RESTORING, 1000, 250))
    assert (place.owner, place.restore_remaining_rows) == ("me", 250)
