"""The demo in one line, for a log or a pipe."""

from __future__ import annotations

from penstock.demo.readings import PartitionReading, Readings
from penstock.demo.timeline import Moment
from penstock.demo.words import clock_time, whole


def status_line(now: Readings, moment: Moment) -> str:
    """`1:05  throttled  [refusing]  read 96/s  written 410/s  exported 498/s  p1 backlog 5,120/8,000 …`"""
    parts = [
        f"{clock_time(moment.total_seconds):>5}",
        f"{moment.phase.name:13}",
        f"[{now.condition.words}]",
        f"read {whole(now.read_per_second)}/s",
        f"written {whole(now.written_per_second)}/s",
        f"exported {whole(now.exported_per_second)}/s",
        *map(_partition, now.partitions),
    ]
    if now.blame is not None:
        parts.append(now.blame)
    return "  ".join(parts)


def phase_line(moment: Moment) -> str:
    """Said once, when a phase begins."""
    return f"{clock_time(moment.total_seconds):>5}  -- {moment.phase.name}: {moment.phase.sentence}"


def _partition(partition: PartitionReading) -> str:
    text = f"p{partition.partition}"
    if partition.backlog_records is not None:
        text += f" backlog {_of(partition.backlog_records, partition.acceptable_backlog_records)}"
    if partition.limit_per_second is not None:
        text += f" limit {_of(partition.limit_per_second, partition.limit_max_per_second)}"
    return text + (" THROTTLED" if partition.throttled else "")


def _of(value: float, bound: float | None) -> str:
    return whole(value) if bound is None else f"{whole(value)}/{whole(bound)}"
