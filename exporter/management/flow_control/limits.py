"""The limits of all partitions behind both of their addresses: what holds, and one change at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from threading import Lock

import msgspec

from exporter.door import EngineDoor, FlowControlSettings, flow_control_document
from exporter.management.flow_control.change import FlowControlChange


class UnknownPartitionError(Exception):
    """There is no partition of this number."""

    def __init__(self, partition: int, known: Collection[int]) -> None:
        there_are = f"there are {', '.join(map(str, sorted(known)))}" if known else "the engine has not started"
        super().__init__(f"there is no partition {partition}; {there_are}")


class ChangedMeanwhileError(Exception):
    """The limits are not those that the change was made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a change is meant, besides what it changes."""

    # None: all of them.
    partitions: Collection[int] | None = None
    # Tags of which one must hold; None: any may.
    tags: Collection[str] | None = None
    dry_run: bool = False
    ttl_ns: int | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The settings of the partitions in question before and after (or as they would be)."""

    before: Mapping[int, FlowControlSettings]
    after: Mapping[int, FlowControlSettings]


class Limits:
    """Reads and changes the limits of an engine. Any thread may call any method."""

    def __init__(self, engine: EngineDoor) -> None:
        self.engine = engine
        # Held from reading the present settings to having changed them: of two changes at once both count.
        self._changing = Lock()

    def tag(self) -> str:
        """Names the settings in force and since when they are, as an entity tag without its quotes."""
        overrides = self.engine.flow_overrides()
        said = [
            (number, flow_control_document(settings), overrides.get(number))
            for number, settings in sorted(self.engine.flow_settings().items())
        ]
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]

    def change(self, change: FlowControlChange, asked: Asked) -> Outcome:
        """Changes all partitions in question, or none. What changes nothing there leaves a partition as it is.

        A time given for what was set before counts from now. Raises `FaultyError`, `UnknownPartitionError`,
        `ChangedMeanwhileError`.
        """
        with self._changing:
            before = self._in_question(asked)
            configured = self.engine.configured_flow_settings
            after = {number: change.applied(settings, configured) for number, settings in before.items()}
            overrides = self.engine.flow_overrides()
            wanted = {
                number: settings
                for number, settings in after.items()
                if settings != before[number] or (asked.ttl_ns is not None and overrides.get(number) is not None)
            }
            if wanted and not asked.dry_run:
                self.engine.apply_flow_control(wanted, ttl_ns=asked.ttl_ns, by=asked.by)
            return Outcome(before, after)

    def revert(self, asked: Asked) -> Outcome:
        """Brings the configured limits back. Raises `UnknownPartitionError`, `ChangedMeanwhileError`."""
        with self._changing:
            before = self._in_question(asked)
            if not asked.dry_run:
                self.engine.revert_flow_control(before, by=asked.by)
            return Outcome(before, dict.fromkeys(before, self.engine.configured_flow_settings))

    def _in_question(self, asked: Asked) -> Mapping[int, FlowControlSettings]:
        present = self.engine.flow_settings()
        numbers = sorted(present if asked.partitions is None else asked.partitions)
        for number in numbers:
            if number not in present:
                raise UnknownPartitionError(number, present)
        if asked.tags is not None and self.tag() not in asked.tags:
            raise ChangedMeanwhileError
        return {number: present[number] for number in numbers}
