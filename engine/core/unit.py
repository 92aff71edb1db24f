"""The unit: everything one writer wants to become true at once on one partition.

Plain data, so that a partition may live in another process. Writers fill it, the log stores it whole or not at
all, the partition reads from it what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.core.columns import Content
from engine.core.records import WriteSource

# The last progress of a source on a partition, by source name.
ProgressBySource = Mapping[str, "SourceProgress"]


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far a partition has stored a source: all of its values up to `offset`, and `extra` values beyond.

    `extra` counts this partition's own values behind `offset`; it is above 0 only where the limit made a buffer
    be stored in several units.
    """

    source: str
    offset: int
    extra: int = 0
    cursor: bytes | None = None


@dataclass(frozen=True, slots=True)
class Timer:
    """A command to be written when its time has come."""

    timer_id: int
    # Wall time, so that it means the same after a restart.
    due_wall_ns: int
    # The command, encoded: a value that cannot be stored fails where it is given, not at the commit.
    command: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A command on its way to another partition; sequences rise by 1 per sending partition."""

    sequence: int
    receiver: int
    # Encoded, as a timer's.
    command: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it lies in the receiver's inbox, at `offset`."""

    offset: int
    sender: int
    sequence: int
    command: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An exporter's word that everything up to `position` is safe outside."""

    exporter: str
    position: int
    cursor: bytes | None


@dataclass(slots=True, kw_only=True)
class Unit:
    """One atomic change of a partition. `first_position` is given by the append; -1 before it and without records.

    So is `append_ns`, how long it took until the unit was durable; None before it and without records.
    """

    source: WriteSource
    records: Content = field(default_factory=list)
    progress: list[SourceProgress] = field(default_factory=list)
    # New value by state key; None deletes.
    state: dict[str, bytes | None] = field(default_factory=dict)
    timers_added: list[Timer] = field(default_factory=list)
    # Or canceled: nobody waits for them any more. One that begins and ends in this unit is among both.
    timers_fired: list[int] = field(default_factory=list)
    outbox: list[Message] = field(default_factory=list)
    # Highest sequence that each receiver has stored.
    delivered: dict[int, int] = field(default_factory=dict)
    # Highest sequence stored from each sender.
    received: dict[int, int] = field(default_factory=dict)
    processed_position: int | None = None
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    first_position: int = -1
    append_ns: int | None = None

    @property
    def last_position(self) -> int:
        return self.first_position + len(self.records) - 1 if self.first_position >= 0 else -1

    @property
    def changes_something(self) -> bool:
        """Whether there is more to it than records."""
        return bool(
            self.processed_position is not None
            or self.progress
            or self.state
            or self.acknowledged
            or self.received
            or self.delivered
            or self.outbox
            or self.timers_added
            or self.timers_fired
        )


@dataclass(slots=True, kw_only=True)
class Recovered:
    """What a log held when it was opened."""

    # Positions begin at 1; 0 means that nothing was ever written.
    last_position: int = 0
    oldest_position: int = 1
    processed_position: int = 0
    progress: dict[str, SourceProgress] = field(default_factory=dict)
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    timers: list[Timer] = field(default_factory=list)
    next_timer_id: int = 1
    outbox: list[Message] = field(default_factory=list)
    next_sequence: int = 1
    received: dict[int, int] = field(default_factory=dict)
