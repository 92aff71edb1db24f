"""Commands as a processor is given them that works on many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import Any, TypeVar

import msgspec

from engine.core.columns import FROM_OUTSIDE, Columns, Head
from engine.core.record_batch import RecordBatch
from engine.core.records import Record, RecordType

# A plain string: comparing each head's with a member of an enumeration costs more.
_COMMAND = RecordType.COMMAND.value
T = TypeVar("T")


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

    @classmethod
    def joined(cls, parts: Sequence[Commands]) -> Commands:
        """All of them, which have the same head."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return cls(
            value_type=first.value_type,
            intent=first.intent,
            keys=[*chain.from_iterable(part.keys for part in parts)],
            values=[*chain.from_iterable(part.values for part in parts)],
            positions=[*chain.from_iterable(part.positions for part in parts)],
            source_positions=[*chain.from_iterable(part.source_positions for part in parts)],
            timestamps_ns=[*chain.from_iterable(part.timestamps_ns for part in parts)],
        )

    def cut(self, most: int) -> Iterator[Commands]:
        """The same in pieces of at most so many."""
        if len(self) <= most:
            yield self
            return
        for begin in range(0, len(self), most):
            piece = slice(begin, begin + most)
            yield Commands(
                value_type=self.value_type,
                intent=self.intent,
                keys=self.keys[piece],
                values=self.values[piece],
                positions=self.positions[piece],
                source_positions=self.source_positions[piece],
                timestamps_ns=self.timestamps_ns[piece],
            )

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


def runs_of(batches: Sequence[RecordBatch], position: int, most: int) -> Iterator[Commands]:
    """The commands of what was read, from `position` on: neighbours of the same head together, at most so many."""
    gathered: list[Commands] = []
    for batch in batches:
        if not batch.may_hold(RecordType.COMMAND):
            continue
        for part in _parts(batch.columns.between(max(position, batch.first_position), batch.last_position)):
            if gathered and (part.value_type, part.intent) != (gathered[0].value_type, gathered[0].intent):
                yield from Commands.joined(gathered).cut(most)
                gathered = []
            gathered.append(part)
    if gathered:
        yield from Commands.joined(gathered).cut(most)


def _parts(columns: Columns) -> Iterator[Commands]:
    """Its commands, run by run of the same head; what is no command parts none."""
    heads, head_of = columns.heads, columns.head_of
    if head_of is None:
        if heads[0][0] == _COMMAND:
            yield _taken(columns, heads[0], None)
        return
    commands = [place for place, of in enumerate(head_of) if heads[of][0] == _COMMAND]
    for of, places in groupby(commands, key=head_of.__getitem__):
        yield _taken(columns, heads[of], [*places])


def _taken(columns: Columns, head: Head, places: list[int] | None) -> Commands:
    """Those at these places; None for all."""
    _, value_type, intent = head
    count = len(columns) if places is None else len(places)
    sources = columns.source_positions

    def taken(column: Sequence[T]) -> list[T]:
        return [*column] if places is None else [column[place] for place in places]

    return Commands(
        value_type=value_type,
        intent=intent,
        keys=taken(columns.keys),
        values=taken(columns.values),
        positions=taken(columns.positions),
        source_positions=[FROM_OUTSIDE] * count if sources is None else taken(sources),
        timestamps_ns=[columns.timestamp_ns] * count,
    )
