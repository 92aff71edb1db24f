"""Which commands finish work and are never refused, however little may be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.records import Record


@dataclass(frozen=True, slots=True)
class AlwaysAllowed:
    """Intents that flow control lets pass. They still use up the limit where it grants, and hold slots.

    What takes work away must not wait behind what brings new work, or neither ever ends.
    """

    # (value type, intent); a value type of None stands for all of them.
    intents: frozenset[tuple[str | None, str]] = frozenset()

    def with_intent(self, intent: str, value_type: str | None) -> AlwaysAllowed:
        return AlwaysAllowed(self.intents | {(value_type, intent)})

    def covers(self, record: Record) -> bool:
        """Whether this command is one of them."""
        return self.covers_kind(record.value_type, record.intent)

    def covers_kind(self, value_type: str, intent: str) -> bool:
        """Whether commands of this value type and intent are."""
        intents = self.intents
        return bool(intents) and ((None, intent) in intents or (value_type, intent) in intents)

    def covers_all(self, records: Sequence[Record]) -> bool:
        """Whether a batch may always pass: one command that may not holds all of them back, for it is atomic."""
        return bool(self.intents) and bool(records) and all(self.covers(record) for record in records)


NOTHING = AlwaysAllowed()
