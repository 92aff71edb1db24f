"""What a demo came to: kept while it runs, told at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot
from penstock.demo.readings import flights_read, records_written
from penstock.demo.words import counted, duration, whole


@dataclass(slots=True)
class _PartitionTally:
    times: int = 0
    throttled: bool = False
    throttled_ns: int = 0
    lowest_limit: float | None = None
    limit_max: float | None = None
    peak_backlog: int = 0
    acceptable: int | None = None


@dataclass(slots=True)
class Tally:
    """Takes note of every snapshot it is shown. One caller at a time."""

    _partitions: dict[int, _PartitionTally] = field(default_factory=dict)

    def observe(self, snapshot: EngineSnapshot) -> None:
        for partition in snapshot.partitions:
            seen = self._partitions.setdefault(partition.partition, _PartitionTally())
            flow = partition.flow
            if flow.throttled and not seen.throttled:
                seen.times += 1
            seen.throttled = flow.throttled
            seen.throttled_ns = flow.throttled_ns
            limit, lowest = flow.write_limit_per_second, seen.lowest_limit
            if limit is not None:
                seen.lowest_limit = limit if lowest is None else min(limit, lowest)
                seen.limit_max = flow.write_limit_max_per_second
            seen.peak_backlog = max(seen.peak_backlog, partition.backlog_records or 0)
            seen.acceptable = flow.acceptable_backlog_records

    def summary(self, last: EngineSnapshot, seconds: float, data: str) -> str:
        """A few aligned lines; `last` is the snapshot of the ended engine, `data` what became of its folder."""
        left = sum(partition.backlog_records or 0 for partition in last.partitions)
        rows = [
            ("read", counted(flights_read(last), "flight")),
            ("written", f"{counted(records_written(last), 'record')}: commands, results and messages"),
            (
                "exported",
                "all of them" if left == 0 else f"all but {counted(left, 'record')}, which were still under way",
            ),
        ]
        for number, seen in sorted(self._partitions.items()):
            rows += zip([f"partition {number}", "", ""], _of_partition(seen), strict=False)
        rows.append(("data", data))
        rows.append(("next", "penstock new orders: a pipeline of your own, which runs at once"))
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:{width}}  {what}" for name, what in rows]
        return "\n".join([f"The demo ran for {duration(seconds)}.", *lines])


def _of_partition(seen: _PartitionTally) -> list[str]:
    lines = ["never throttled"]
    if seen.times:
        often = "once" if seen.times == 1 else f"{seen.times} times"
        lines = [f"throttled {often}, for {duration(seen.throttled_ns / NS_PER_SECOND)} in all"]
        if seen.lowest_limit is not None and seen.limit_max is not None:
            lines.append(f"lowest limit {whole(seen.lowest_limit)} of {whole(seen.limit_max)} records/s")
    acceptable = "" if seen.acceptable is None else f" of {whole(seen.acceptable)} acceptable"
    return [*lines, f"highest backlog {whole(seen.peak_backlog)}{acceptable}"]
