"""Commands as a processor is given them that works on many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from engine.core.columns import Head
from engine.core.record_batch import RecordBatch
from engine.core.records import Record, RecordType

# A plain string: comparing each head's with a member of an enumeration costs more.
_COMMAND = RecordType.COMMAND.value


class Commands(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Commands of one value type and intent, in the order of the log, field by field.

    Invariant: all of its lists are equally long, and none is empty.
    """

    value_type: str
    intent: str
    keys: list[str]
    # Any, as in `Record`.
    values: list[Any]
    # Rising, and not always by 1: what lay between was no command.
    positions: list[int]
    source_positions: list[int]
    # Wall time of each.
    timestamps_ns: list[int]

    @classmethod
    def of(cls, record: Record) -> Commands:
        """One alone."""
        return cls(
            value_type=record.value_type,
            intent=record.intent,
            keys=[record.key],
            values=[record.value],
            positions=[record.position],
            source_positions=[record.source_position],
            timestamps_ns=[record.timestamp_ns],
        )

    def __len__(self) -> int:
        return len(self.keys)

    def record(self, index: int) -> Record:
        return Record(
            _COMMAND,
            self.value_type,
            self.intent,
            self.keys[index],
            self.values[index],
            self.source_positions[index],
            self.positions[index],
            self.timestamps_ns[index],
        )


class _Run:
    """Commands of the same head that are being gathered."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.keys: list[str] = []
        self.values: list[Any] = []
        self.positions: list[int] = []
        self.sources: list[int] = []
        self.timestamps_ns: list[int] = []

    def cut(self, most: int) -> Iterator[Commands]:
        _, value_type, intent = self.head
        for begin in range(0, len(self.keys), most):
            end = begin + most
            yield Commands(
                value_type=value_type,
                intent=intent,
                keys=self.keys[begin:end],
                values=self.values[begin:end],
                positions=self.positions[begin:end],
                source_positions=self.sources[begin:end],
                timestamps_ns=self.timestamps_ns[begin:end],
            )


def runs_of(batches: Sequence[RecordBatch], position: int, most: int) -> Iterator[Commands]:
    """The commands of what was read, from `position` on: neighbours of the same head together, at most so many."""
    run: _Run | None = None
    for batch in batches:
        if not batch.may_hold(RecordType.COMMAND):
            continue
        columns = batch.columns.between(max(position, batch.first_position), batch.last_position)
        heads, head_of, sources = columns.heads, columns.head_of, columns.source_positions
        if head_of is None:
            places: list[tuple[Head, Sequence[int]]] = [(heads[0], range(len(columns)))]
        else:
            places = [(heads[of], [*same]) for of, same in groupby(range(len(head_of)), head_of.__getitem__)]
        for head, same in places:
            if head[0] != _COMMAND:
                continue
            if run is None or run.head != head:
                if run is not None:
                    yield from run.cut(most)
                run = _Run(head)
            run.keys += [columns.keys[place] for place in same]
            run.values += [columns.values[place] for place in same]
            run.positions += [columns.first_position + place for place in same]
            run.sources += [-1 if sources is None else sources[place] for place in same]
            run.timestamps_ns += [columns.timestamp_ns] * len(same)
    if run is not None:
        yield from run.cut(most)
