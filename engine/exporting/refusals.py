"""Records that the target will never take: how often they are tried, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from engine.core.errors import RefusedRecordsError, TaskFailedError
from engine.core.records import Record

# Keeps a record aside with the reason.
KeepAside = Callable[[Record, str], None]


class Refusals:
    """Counts the attempts at each refused record, and decides when they are used up.

    Invariant: what is counted belongs to the call in hand; `cleared` when that is over.
    """

    def __init__(self, *, attempts: int, policy: Literal["reject", "stop"], keep_aside: KeepAside, place: str) -> None:
        self._attempts = attempts
        self._policy = policy
        self._keep_aside = keep_aside
        self._place = place
        self._tried: dict[int, int] = {}

    def remaining(self, records: Sequence[Record], error: RefusedRecordsError) -> list[Record]:
        """The refused records that are to be tried again; the others are kept aside.

        Raises `TaskFailedError` where the policy is to stop.
        """
        again = []
        for record in records:
            reason = error.reasons.get(record.position)
            if reason is None:
                continue
            tried = self._tried[record.position] = self._tried.get(record.position, 0) + 1
            if tried < self._attempts:
                again.append(record)
            elif self._policy == "stop":
                raise TaskFailedError(f"{self._place} refuses the record at position {record.position}: {reason}")
            else:
                self._keep_aside(record, reason)
        return again

    def cleared(self) -> None:
        self._tried.clear()
