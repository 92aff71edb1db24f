"""What a run came to, in a few words."""

from __future__ import annotations

from collections import Counter

from engine.core.snapshot import EngineSnapshot, Outcome, VertexKind


def summary(snapshot: EngineSnapshot, seconds: float) -> str:
    """`flights: 27,004 read, 53,402 processed, 53,410 exported, 0 rejected in 17.3 s (…)`."""
    sources = [task for task in snapshot.tasks if task.kind is VertexKind.SOURCE]
    read = sum(task.records_out or 0 for task in sources)
    processed = sum(sum(partition.processing_duration.counts) for partition in snapshot.partitions)
    by_task = rejected(snapshot)
    named = f" ({', '.join(f'{task} {count:,}' for task, count in by_task.items())})" if by_task else ""
    exported = sum(e.exported_records for p in snapshot.partitions for e in p.exporters)
    written = sum(
        count
        for partition in snapshot.partitions
        for (_, outcome), count in partition.flow.writes.items()
        if outcome is Outcome.ACCEPTED
    )
    rate = f"{written / seconds:,.0f} records per second written" if seconds > 0 else "at once"
    # Who runs a pipeline again without anything new wonders where the results are.
    nothing_new = "; what earlier runs have read is not read again" if sources and not read else ""
    return (
        f"{snapshot.pipeline}: {read:,} read, {processed:,} processed, {exported:,} exported, "
        f"{sum(by_task.values()):,} rejected{named} in {seconds:.1f} s ({rate}){nothing_new}"
    )


def rejected(snapshot: EngineSnapshot) -> dict[str, int]:
    """How much each task has set aside in this run."""
    counts = Counter({task.task: 0 for task in snapshot.tasks})
    for task in snapshot.tasks:
        counts[task.task] += sum(task.rejected.values())
    return {task: count for task, count in counts.items() if count}
