"""What of a call is already safe outside when the call fails half-way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.core.errors import RefusedRecordsError
from engine.core.records import Record


class Delivered:
    """Remembers the records of the call in hand that the target has taken, and those that it will never take.

    The same records come again after a failure; what is remembered of them need not be sent again. A call that begins
    with other records forgets.
    """

    def __init__(self) -> None:
        self._call: tuple[int, int] | None = None
        self._taken: set[int] = set()
        self._refused: dict[int, str] = {}

    def begin(self, records: Sequence[Record]) -> list[Record]:
        """The records that are still to be sent."""
        call = (records[0].position, records[-1].position)
        if call != self._call:
            self._call = call
            self._taken.clear()
            self._refused.clear()
        return [r for r in records if r.position not in self._taken and r.position not in self._refused]

    def took(self, records: Iterable[Record]) -> None:
        self._taken.update(record.position for record in records)

    def refused(self, position: int, reason: str) -> None:
        self._refused[position] = reason

    def end(self) -> None:
        """Call when nothing is left to be sent. Raises `RefusedRecordsError` for what was refused."""
        reasons = dict(self._refused)
        self._call = None
        if reasons:
            raise RefusedRecordsError(reasons)
