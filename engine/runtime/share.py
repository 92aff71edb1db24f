"""What of a pipeline runs in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Whole partitions and whole sources. Plain data, so that it can be handed to another process.

    A process that has sources has a *lane*: a copy of all steps of its own. Lanes are numbered from 0.
    """

    # Of all; rising.
    partitions: tuple[int, ...]
    # By name, in the pipeline's order.
    sources: tuple[str, ...]
    lane: int = 0
    lanes: int = 1
    # Whether its sources bring records to its own partitions alone, and nobody else does: no key says where they go.
    is_closed: bool = False


def deal(partitions: int, sources: Sequence[str], processes: int) -> list[Share]:
    """Deals partitions in turn, sources in turn from the other end: who has a partition more has a source less."""
    assert 1 <= processes <= partitions, "every process has a partition"
    shares = [
        Share(
            partitions=tuple(range(1 + index, partitions + 1, processes)),
            sources=tuple(name for n, name in enumerate(sources) if processes - 1 - n % processes == index),
        )
        for index in range(processes)
    ]
    lanes = [share for share in shares if share.sources]
    return [
        Share(
            partitions=share.partitions,
            sources=share.sources,
            lane=lanes.index(share) if share in lanes else 0,
            lanes=max(1, len(lanes)),
        )
        for share in shares
    ]
