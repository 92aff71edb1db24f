"""A partition on its way: its storage is being opened."""

from __future__ import annotations

from typing import NamedTuple

from engine.core.snapshot import ClosedSnapshot, PartitionState
from engine.log.storage import LogStorage


class Opening(NamedTuple):
    """Any thread may look."""

    number: int
    # None before it is its turn.
    storage: LogStorage | None

    def seen(self) -> ClosedSnapshot:
        cluster = None if self.storage is None else self.storage.cluster()
        reads = cluster is not None and cluster.restore_remaining_rows > 0
        state = PartitionState.RESTORING if reads else PartitionState.OPENING
        return ClosedSnapshot(partition=self.number, state=state, cluster=cluster)
