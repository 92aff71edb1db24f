"""Columns of fixed length for things that come and go: the memory of the history."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from exporter.history.fields import Value

Key = TypeVar("Key", bound=Hashable)
_UNKNOWN = float("nan")
# Enough for a rate and for a share in per mille; a shorter answer for whoever reads it.
_DECIMALS = 3


class Table(Generic[Key]):
    """Up to `things_max` things, each with a ring of `capacity` values for every field.

    The caller holds a lock around each call. Rows are counted from 0; row n stands at n modulo the capacity.
    Invariant: memory is at most things_max · fields · capacity · 8 bytes, and none is taken for a thing that has
    been gone for a whole round.
    """

    def __init__(self, fields: Sequence[str], *, capacity: int, things_max: int) -> None:
        self._fields = tuple(fields)
        self._capacity = capacity
        self._things_max = things_max
        self._columns: dict[Key, tuple[array[float], ...]] = {}
        self._last_row: dict[Key, int] = {}
        # Things of the newest row for which there was no room.
        self.omitted = 0

    def write(self, row: int, values: Mapping[Key, Sequence[Value]]) -> None:
        """Writes row `row`, which follows the one before; a thing without values is unknown there."""
        place = row % self._capacity
        for key in [key for key, last in self._last_row.items() if key not in values and row - last >= self._capacity]:
            del self._columns[key], self._last_row[key]
        for key in values:
            if key not in self._columns and len(self._columns) < self._things_max:
                self._columns[key] = tuple(array("d", [_UNKNOWN]) * self._capacity for _ in self._fields)
        for key, columns in self._columns.items():
            told = values.get(key)
            if told is not None:
                self._last_row[key] = row
            for i, column in enumerate(columns):
                value = None if told is None else told[i]
                column[place] = _UNKNOWN if value is None else round(value, _DECIMALS)
        self.omitted = len(values.keys() - self._columns.keys())

    def read(self, first: int, end: int) -> dict[Key, dict[str, list[float]]]:
        """Rows `first` to below `end`, by thing and field; what is unknown is NaN."""
        return {
            key: dict(zip(self._fields, (unrolled(column, first, end) for column in columns), strict=True))
            for key, columns in self._columns.items()
        }


Number = TypeVar("Number", int, float)


def unrolled(ring: array[Number], first: int, end: int) -> list[Number]:
    """Values `first` to below `end` of a ring that holds value n at n modulo its length."""
    if first >= end:
        return []
    size = len(ring)
    begin, stop = first % size, (end - 1) % size + 1
    if begin < stop:
        return ring[begin:stop].tolist()
    return ring[begin:].tolist() + list(islice(ring, stop))
