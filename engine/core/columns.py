"""Records that were stored together, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any

import msgspec

from engine.core.records import Record

# Record type, value type, intent.
Head = tuple[str, str, str]
FROM_OUTSIDE = -1


class Columns(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A run of records by their fields: whoever needs no records reads here what they would hold, and makes none.

    Invariant: `keys` and `values` are equally long, and so are `head_of` and `source_positions` where they are given.
    """

    # Given by the append, as the time is.
    first_position: int = 0
    # Wall time, of all.
    timestamp_ns: int = 0
    # Each once.
    heads: Sequence[Head]
    # Place of each record's head; None where all have the first.
    head_of: list[int] | None = None
    keys: list[str]
    # Any, as in `Record`.
    values: list[Any]
    # None where all come from outside.
    source_positions: list[int] | None = None

    @classmethod
    def of(cls, records: Sequence[Record]) -> Columns:
        """Records that are to be appended."""
        heads, head_of = _heads_of(records)
        source_positions = [record.source_position for record in records]
        return cls(
            heads=heads,
            head_of=head_of,
            keys=[record.key for record in records],
            values=[record.value for record in records],
            source_positions=None if source_positions.count(FROM_OUTSIDE) == len(records) else source_positions,
        )

    @classmethod
    def joined(cls, parts: Sequence[Content]) -> Columns:
        """What is to be appended, one part after the other."""
        columns: list[Columns] = []
        records: list[Record] = []
        for part in parts:
            if isinstance(part, list):
                records += part
            elif part:
                if records:
                    columns.append(cls.of(records))
                    records = []
                columns.append(part)
        if records or not columns:
            columns.append(cls.of(records))
        if len(columns) == 1:
            return columns[0]
        heads = {head: place for place, head in enumerate(dict.fromkeys(chain(*[part.heads for part in columns])))}
        sources = [part.source_positions or [FROM_OUTSIDE] * len(part) for part in columns]
        return cls(
            heads=[*heads],
            head_of=None if len(heads) == 1 else [heads[head] for part in columns for head in part.head_of_each()],
            keys=[*chain(*[part.keys for part in columns])],
            values=[*chain(*[part.values for part in columns])],
            source_positions=(None if all(part.source_positions is None for part in columns) else [*chain(*sources)]),
        )

    def head_of_each(self) -> Iterable[Head]:
        heads = self.heads
        return repeat(heads[0], len(self)) if self.head_of is None else [heads[place] for place in self.head_of]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def positions(self) -> range:
        return range(self.first_position, self.first_position + len(self.keys))

    def words(self) -> Iterable[Iterable[str]]:
        """Record types, value types and intents; without an end where all records have the same."""
        if self.head_of is None:
            return [repeat(word) for word in self.heads[0]]
        return zip(*[self.heads[place] for place in self.head_of], strict=True)

    def sources(self) -> Iterable[int]:
        """The source positions; without an end where all are the same."""
        return repeat(FROM_OUTSIDE) if self.source_positions is None else self.source_positions

    def between(self, first: int, last: int) -> Columns:
        """Those from position `first` to `last`, which lie in here."""
        begin, end = first - self.first_position, last - self.first_position + 1
        if end - begin == len(self.keys):
            return self
        head_of, sources = self.head_of, self.source_positions
        return Columns(
            first_position=first,
            timestamp_ns=self.timestamp_ns,
            heads=self.heads,
            head_of=None if head_of is None else head_of[begin:end],
            keys=self.keys[begin:end],
            values=self.values[begin:end],
            source_positions=None if sources is None else sources[begin:end],
        )

    def records(self) -> list[Record]:
        # All of it runs in C, a record no slower than its own decoding would be.
        columns = (*self.words(), self.keys, self.values, self.sources(), self.positions, repeat(self.timestamp_ns))
        return [*map(Record, *columns)]


# Records that are to be appended, as records or as columns.
Content = list[Record] | Columns


def _heads_of(records: Sequence[Record]) -> tuple[list[Head], list[int] | None]:
    """The different heads, and the place of each record's; None where all have the same, as they mostly do."""
    record_types = [record.record_type for record in records]
    value_types = [record.value_type for record in records]
    intents = [record.intent for record in records]
    words = (record_types, value_types, intents)
    if records and all(column.count(column[0]) == len(records) for column in words):
        return [(record_types[0], value_types[0], intents[0])], None
    heads = [*zip(*words, strict=True)]
    places = {head: place for place, head in enumerate(dict.fromkeys(heads))}
    return [*places], [places[head] for head in heads]
