"""Where each partition is: of all that instances say of it, what was said of the latest moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.core.snapshot import ClosedSnapshot, PartitionSnapshot, PartitionState, PlaceSnapshot
from engine.instances.board import Board, ClosedRow


class Places:
    """What one instance can say of all partitions: its own by what it sees, the others' by the board.

    A partition may be told of twice for a moment: by who was killed and is not missed yet, by who was paused and does
    not know that somebody else has it. Who has had it for the shorter time is right.
    """

    def __init__(self, board: Board, *, name: str, process: str) -> None:
        self._board = board
        self._name = name
        self._process = process

    def seen(
        self, partitions: int, running: Iterable[PartitionSnapshot], closed: Iterable[ClosedSnapshot]
    ) -> tuple[PlaceSnapshot, ...]:
        """All of them; `running` and `closed` are those that belong here."""
        latest: dict[int, PlaceSnapshot] = {}
        for place in (*self._elsewhere(partitions), *self._here(running, closed)):
            known = latest.get(place.partition)
            if known is None or (place.since_wall_ns or 0) >= (known.since_wall_ns or 0):
                latest[place.partition] = place
        return tuple(latest.get(n) or self._nobodys(n) for n in range(1, partitions + 1))

    def _elsewhere(self, partitions: int) -> Iterator[PlaceSnapshot]:
        for number in range(1, partitions + 1):
            owner = self._board.owner(number)
            if owner is not None and owner.process != self._process:
                yield PlaceSnapshot(
                    partition=number,
                    owner=owner.instance,
                    state=PartitionState.RUNNING,
                    since_wall_ns=owner.since_wall_ns,
                )
        for row in self._board.instances():
            if row.process != self._process:
                for closed in row.closed:
                    yield _closed(row.name, closed)

    def _here(self, running: Iterable[PartitionSnapshot], closed: Iterable[ClosedSnapshot]) -> Iterator[PlaceSnapshot]:
        for partition in running:
            yield PlaceSnapshot(
                partition=partition.partition,
                owner=self._name,
                state=partition.state,
                since_wall_ns=partition.opened_wall_ns,
            )
        for row in map(closed_row, closed):
            yield _closed(self._name, row)

    def _nobodys(self, number: int) -> PlaceSnapshot:
        halt = self._board.halt(number)
        return PlaceSnapshot(partition=number, why=None if halt is None else halt.why)


def closed_row(closed: ClosedSnapshot) -> ClosedRow:
    """What the others are told of a partition that belongs here and is not open."""
    cluster = closed.cluster
    is_read = cluster is not None and closed.state is PartitionState.RESTORING
    return ClosedRow(
        partition=closed.partition,
        state=closed.state,
        since_wall_ns=closed.since_wall_ns or 0,
        why=closed.why,
        restore_remaining_rows=cluster.restore_remaining_rows if cluster is not None and is_read else None,
        restore_seconds_left=cluster.restore_seconds_left if cluster is not None and is_read else None,
    )


def _closed(owner: str, row: ClosedRow) -> PlaceSnapshot:
    return PlaceSnapshot(
        partition=row.partition,
        owner=owner,
        state=row.state,
        since_wall_ns=row.since_wall_ns or None,
        why=row.why,
        restore_remaining_rows=row.restore_remaining_rows,
        restore_seconds_left=row.restore_seconds_left,
    )
