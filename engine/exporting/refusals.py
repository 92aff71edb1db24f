"""Whose fault it is that a target refuses records: the target's own, or theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from engine.core.errors import RefusedRecordsError
from engine.core.records import Record

OnRefusal = Literal["reject", "stop", "retry"]

# In pauses of the retry policy: before a refused record is tried again, and how long one that nothing new comes behind
# is tried before it is judged without others to compare with; the last where it never stood beside any.
_PAUSES_BETWEEN = 10
_PAUSES_BEHIND_OTHERS = 100
_PAUSES_ALONE = 300


@dataclass(slots=True)
class _Waiting:
    record: Record
    reason: str
    first_ns: int
    due_ns: int
    # Refusals while others got through.
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a call that was refused in part comes to."""

    # These are to blame themselves, with the reason.
    to_blame: list[tuple[Record, str]]
    # Nothing got through: the target is at fault.
    target_at_fault: bool


class Refusals:
    """Keeps the refused records until it is known whose fault it is. For the exporter's task alone.

    A record is to blame when it was refused `attempts` times, spread over time, while others got through in the same
    calls. While nothing gets through, the target is to blame, and nobody's attempts are counted.
    """

    def __init__(self, *, attempts: int, policy: OnRefusal, pause_ns: int, random: Random) -> None:
        self._attempts = attempts
        self._policy: OnRefusal = policy
        self._pause_ns = pause_ns
        self._random = random
        # By position, rising.
        self._waiting: dict[int, _Waiting] = {}
        # When a record was handed over for the first time.
        self._fresh_ns = 0
        # Whether anything got through since a record was blamed without others to compare with.
        self._took_since = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first_position(self) -> int | None:
        """Of the first record that is neither safe nor set aside."""
        return next(iter(self._waiting), None)

    def next_due_ns(self) -> int | None:
        return min((one.due_ns for one in self._waiting.values()), default=None)

    def due(self, now_ns: int, most: int) -> list[Record]:
        """Those that are to be tried again now; of too many some by chance: any may be the good one."""
        due = [one.record for one in self._waiting.values() if one.due_ns <= now_ns]
        return due if len(due) <= most else sorted(self._random.sample(due, most), key=lambda record: record.position)

    def fresh(self, now_ns: int) -> None:
        """Records are handed over for the first time."""
        self._fresh_ns = now_ns

    def took(self, records: Sequence[Record]) -> None:
        """All of a call is safe."""
        self._took_since = True
        if self._waiting:
            for record in records:
                self._waiting.pop(record.position, None)

    def refused(self, records: Sequence[Record], error: RefusedRecordsError, now_ns: int) -> Verdict:
        """Of a call with these records some were refused; all others are safe."""
        refused = [record for record in records if record.position in error.reasons]
        uncertain = len(refused) - len(error.certain)
        others_got_through = len(records) > len(refused) or not uncertain
        if len(records) > len(refused):
            self.took([record for record in records if record.position not in error.reasons])
        to_blame = []
        for record in refused:
            one = self._wait(record, error.reasons[record.position], now_ns)
            if record.position in error.certain:
                is_to_blame = self._policy != "retry"
            elif others_got_through:
                one.attempts += 1
                is_to_blame = self._policy != "retry" and one.attempts >= self._attempts
            else:
                is_to_blame = self._policy != "retry" and self._is_blamed_alone(one, now_ns)
            if is_to_blame:
                del self._waiting[record.position]
                to_blame.append((record, one.reason))
            else:
                pauses = _PAUSES_BETWEEN << (one.attempts - 1) if others_got_through and one.attempts else 0
                one.due_ns = now_ns + pauses * self._pause_ns
        self._waiting = dict(sorted(self._waiting.items()))
        at_fault = not to_blame and (not others_got_through or self._policy == "retry")
        return Verdict(to_blame=to_blame, target_at_fault=at_fault)

    def forget(self) -> None:
        """All of them will be handed over for the first time once more."""
        self._waiting.clear()

    def _wait(self, record: Record, reason: str, now_ns: int) -> _Waiting:
        one = self._waiting.get(record.position)
        if one is None:
            one = self._waiting[record.position] = _Waiting(record, reason, now_ns, now_ns)
        one.reason = reason
        return one

    def _is_blamed_alone(self, one: _Waiting, now_ns: int) -> bool:
        """Nothing gets through, but nothing new comes either that could tell the target's fault from the record's."""
        quiet_ns = now_ns - max(one.first_ns, self._fresh_ns)
        if one.attempts:
            return quiet_ns >= _PAUSES_BEHIND_OTHERS * self._pause_ns
        is_blamed = len(self._waiting) == 1 and self._took_since and quiet_ns >= _PAUSES_ALONE * self._pause_ns
        if is_blamed:
            self._took_since = False
        return is_blamed
