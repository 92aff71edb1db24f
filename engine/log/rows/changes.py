"""What a unit changes beside its records, as it is stored."""

from __future__ import annotations

import msgspec

from engine.core.unit import Acknowledgement, Message, SourceProgress, Timer, Unit


class Changes(msgspec.Struct, array_like=True, gc=False):
    """What a unit changes beside its records; the names are those of `Unit`."""

    state: dict[str, bytes | None] = {}
    progress: list[SourceProgress] = []
    timers_added: list[Timer] = []
    timers_fired: list[int] = []
    outbox: list[Message] = []
    delivered: dict[int, int] = {}
    received: dict[int, int] = {}
    processed_position: int | None = None
    acknowledged: list[Acknowledgement] = []

    @classmethod
    def of(cls, unit: Unit) -> Changes:
        return cls(
            unit.state,
            unit.progress,
            unit.timers_added,
            unit.timers_fired,
            unit.outbox,
            unit.delivered,
            unit.received,
            unit.processed_position,
            [*unit.acknowledged.values()],
        )
