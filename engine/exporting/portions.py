"""What an exporter is given at a time: a run of the log, of which only the wanted records are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.core.columns import Columns
from engine.core.record_batch import RecordBatch
from engine.core.records import Record
from engine.exporting.protocol import RecordFilter
from engine.exporting.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """`count` records that end at `last_position`; `wanted` are those that pass the exporter's filter."""

    count: int
    last_position: int
    wanted: Run
    # (wall time, how many records) for each run of them that were written together.
    written: tuple[tuple[int, int], ...]


def portions(batches: Sequence[RecordBatch], position: int, size: int, wanted: RecordFilter) -> Iterator[Portion]:
    """Cuts what was read into portions of at most `size` records, from `position` on.

    A batch that holds no kind of record that is wanted is not decoded, and one that holds no other is handed on as
    columns, without a look at its records. Raises `LogCorruptedError` for a batch that is not what it says it is.
    """
    room = size
    parts: list[Columns | list[Record]] = []
    written: list[tuple[int, int]] = []
    last = position - 1
    for batch in batches:
        first, end = max(position, batch.first_position), batch.last_position
        passes = wanted.passes(batch.kinds)
        while first <= end:
            last = min(end, first + room - 1)
            if passes:
                parts.append(batch.columns.between(first, last))
            elif passes is None and (some := [r for r in batch.records_between(first, last) if wanted.wants(r)]):
                parts.append(some)
            written.append((batch.timestamp_ns, last - first + 1))
            room -= last - first + 1
            first = last + 1
            if not room:
                yield _portion(last, parts, written)
                room, parts, written = size, [], []
    if written:
        yield _portion(last, parts, written)


def _portion(last: int, parts: list[Columns | list[Record]], written: list[tuple[int, int]]) -> Portion:
    count = sum(count for _, count in written)
    return Portion(count=count, last_position=last, wanted=Run(parts), written=tuple(written))
