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
        # First and last position, and how many.
        self._call: tuple[int, int, int] | None = None
        self._taken: set[int] = set()
        self._refused: dict[int, str] = {}
        # Those of the refused ones that the target was not asked about.
        self._unsayable: set[int] = set()

    def begin(self, records: Sequence[Record]) -> list[Record]:
        """The records that are still to be sent."""
        call = (records[0].position, records[-1].position, len(records))
        if call != self._call:
            self._call = call
            self._taken.clear()
            self._refused.clear()
            self._unsayable.clear()
        return [r for r in records if r.position not in self._taken and r.position not in self._refused]

    @property
    def has_taken(self) -> bool:
        """Whether any record of the call is safe."""
        return bool(self._taken)

    def took(self, records: Iterable[Record]) -> None:
        self._taken.update(record.position for record in records)

    def refused(self, position: int, reason: str) -> None:
        self._refused[position] = reason

    def unsayable(self, position: int, reason: str) -> None:
        """This record cannot even be sent."""
        self._refused[position] = reason
        self._unsayable.add(position)

    def end(self) -> None:
        """Call when nothing is left to be sent. Raises `RefusedRecordsError` for what was refused."""
        reasons, certain = dict(self._refused), frozenset(self._unsayable)
        self._call = None
        if reasons:
            raise RefusedRecordsError(reasons, certain=certain)
