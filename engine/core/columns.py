"""Records that were stored together, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec

from engine.core.records import Record

# Record type, value type, intent.
Head = tuple[str, str, str]
_FROM_OUTSIDE = -1


class Columns(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A run of records by their fields: whoever needs no records reads here what they would hold, and makes none.

    Invariant: `keys` and `values` are equally long, and so are `head_of` and `source_positions` where they are given.
    """

    first_position: int
    # Wall time, of all.
    timestamp_ns: int
    # Each once.
    heads: Sequence[Head]
    # Place of each record's head; None where all have the first.
    head_of: list[int] | None
    keys: list[str]
    # Any, as in `Record`.
    values: list[Any]
    # None where all come from outside.
    source_positions: list[int] | None

    @property
    def count(self) -> int:
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
        return repeat(_FROM_OUTSIDE) if self.source_positions is None else self.source_positions

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
