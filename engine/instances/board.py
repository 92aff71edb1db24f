"""What is known of all instances: who they are, who has which partition, what was set by hand. Read from `Control`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from threading import Condition, Lock
from typing import Any, Protocol

import msgspec

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.pause import Pause
from engine.core.snapshot import PartitionState
from engine.flow.overrides import Override

# An instance that has said nothing for so long, and longer than its session lasts, is gone.
_SILENT_NS = 15 * NS_PER_SECOND
# What is read at the start may be of one that has long been gone: so soon it has to say something again.
_FIRST_WORD_NS = 6 * NS_PER_SECOND
# After so long nothing is kept of one that died without a word: each run may have a name of its own.
_FORGOTTEN_NS = 600 * NS_PER_SECOND

_pack = msgspec.json.Encoder().encode


class ClosedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A partition that belongs to an instance and is not open there: on its way, or failed."""

    partition: int
    state: PartitionState
    since_wall_ns: int
    why: str | None = None
    restore_remaining_rows: int | None = None
    restore_seconds_left: float | None = None


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An instance by its own word, said again every few seconds."""

    name: str
    # Differs between two processes of the same name.
    process: str
    since_wall_ns: int
    version: str = ""
    # Where others reach its ports; empty where it has none.
    gateway: str = ""
    management: str = ""
    # A short hash of each part of what it runs.
    configuration: Mapping[str, str] = {}
    # Up to where in the control topic what was set is in force here.
    applied: int = -1
    closed: tuple[ClosedRow, ...] = ()


class OwnerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a partition, by the word of who opened it; nobody where that one has given it back."""

    instance: str
    process: str
    since_wall_ns: int


class HaltRow(msgspec.Struct, frozen=True, kw_only=True):
    """A partition that nobody opens until somebody says so: a task of it failed, and `onError` says stop."""

    instance: str
    since_wall_ns: int
    why: str
    # The first record that is not processed.
    position: int | None = None


class AgainRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a task has set aside shall be tried again, on whichever machine it lies."""

    instance: str
    at_wall_ns: int


class HandedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Rejects of one partition that its owner shall try again, each as it lay on another machine."""

    culprit: str
    entries: tuple[dict[str, Any], ...] = ()


class Follower(Protocol):
    """Who acts at once on what is told, on the thread that reads."""

    def again_told(self, task: str) -> None: ...

    def halt_told(self, partition: int, row: HaltRow | None) -> None: ...


_INSTANCE, _OWNER, _OVERRIDE, _PAUSE, _HALT = "instance", "partition", "override", "pause", "halt"
_AGAIN, _REJECTS = "again", "rejects"


class Board:
    """One thread tells it, any thread looks."""

    def __init__(self, clock: Clock, follower: Follower) -> None:
        self._clock = clock
        self._follower = follower
        self._changed = Condition(Lock())
        # All guarded by _changed.
        self._instances: dict[str, tuple[InstanceRow, int]] = {}
        self._owners: dict[int, OwnerRow] = {}
        self._overrides: dict[int, Override] = {}
        self._pauses: dict[str, Pause] = {}
        self._halts: dict[int, HaltRow] = {}
        # By partition and the rest of the key, with their places.
        self._handed: dict[int, dict[str, tuple[HandedRow, int]]] = {}
        self._read_to = -1
        self._is_caught_up = False

    def caught_up(self) -> None:
        """All that was there at the start is told; what comes from now on is news."""
        self._is_caught_up = True

    # -- what is told ---

    def told(self, key: str, value: bytes | None, place: int) -> None:
        """A row, as `Control` tells it. What a newer version says and this one does not know is passed over."""
        kind, _, name = key.partition("/")
        with suppress(msgspec.DecodeError, ValueError):
            self._take(kind, name, value, place)
        with self._changed:
            self._read_to = place
            self._changed.notify_all()

    def _take(self, kind: str, name: str, value: bytes | None, place: int) -> None:
        match kind:
            case "instance":
                row = _row(value, InstanceRow)
                with self._changed:
                    heard_ns = self._clock.monotonic_ns() - (0 if self._is_caught_up else _SILENT_NS - _FIRST_WORD_NS)
                    _put(self._instances, name, None if row is None else (row, heard_ns))
            case "partition":
                owner = _row(value, OwnerRow)
                with self._changed:
                    _put(self._owners, int(name), owner)
            case "override":
                override = _row(value, Override)
                with self._changed:
                    _put(self._overrides, int(name), override)
            case "pause":
                pause = _row(value, Pause)
                with self._changed:
                    _put(self._pauses, name, pause)
            case "halt":
                halt = _row(value, HaltRow)
                with self._changed:
                    _put(self._halts, int(name), halt)
                self._follower.halt_told(int(name), halt)
            case "again":
                # Only who is there when it is said is meant.
                if value is not None and self._is_caught_up:
                    self._follower.again_told(name)
            case "rejects":
                handed = _row(value, HandedRow)
                number = int(name.partition("/")[0])
                with self._changed:
                    _put(self._handed.setdefault(number, {}), name, None if handed is None else (handed, place))
            case _:
                return

    @property
    def read_to(self) -> int:
        """Up to where all is told."""
        return self._read_to

    # -- looking ---

    def instances(self) -> tuple[InstanceRow, ...]:
        """Those that have said something of late, by name."""
        now_ns = self._clock.monotonic_ns()
        with self._changed:
            rows = [row for row, heard_ns in self._instances.values() if now_ns - heard_ns < _SILENT_NS]
        return tuple(sorted(rows, key=lambda row: row.name))

    def long_gone(self) -> tuple[str, ...]:
        """Those of which nothing need be kept any more."""
        now_ns = self._clock.monotonic_ns()
        with self._changed:
            return tuple(name for name, (_, heard_ns) in self._instances.items() if now_ns - heard_ns >= _FORGOTTEN_NS)

    def instance(self, name: str) -> InstanceRow | None:
        return next((row for row in self.instances() if row.name == name), None)

    def owner(self, partition: int) -> OwnerRow | None:
        """Who has it, by the last word; one that is gone has nothing."""
        with self._changed:
            row = self._owners.get(partition)
        if row is None or not row.instance:
            return None
        found = self.instance(row.instance)
        return row if found is not None and found.process == row.process else None

    def said_owner(self, partition: int) -> OwnerRow | None:
        """The last word on it, whoever said it and whether or not he is still there."""
        with self._changed:
            return self._owners.get(partition)

    def overrides(self) -> Mapping[int, Override]:
        with self._changed:
            return dict(self._overrides)

    def pauses(self) -> Mapping[str, Pause]:
        with self._changed:
            return dict(self._pauses)

    def halt(self, partition: int) -> HaltRow | None:
        with self._changed:
            return self._halts.get(partition)

    def handed(self, partition: int) -> list[tuple[str, HandedRow, int]]:
        """The rejects that its owner shall try again: key, what they are, place; in the order in which they came."""
        with self._changed:
            found = [(name, row, place) for name, (row, place) in self._handed.get(partition, {}).items()]
        return sorted(((f"{_REJECTS}/{name}", row, place) for name, row, place in found), key=lambda one: one[2])

    def wait_applied(self, place: int, names: Collection[str], seconds: float) -> tuple[str, ...]:
        """Waits until all these instances have put in force what stands at `place`; those that have not in time."""

        def late() -> tuple[str, ...]:
            return tuple(name for name in names if name in self._instances and self._instances[name][0].applied < place)

        with self._changed:
            self._changed.wait_for(lambda: not late(), seconds)
            return late()


def instance_key(name: str) -> str:
    return f"{_INSTANCE}/{name}"


def owner_key(partition: int) -> str:
    return f"{_OWNER}/{partition}"


def override_key(partition: int) -> str:
    return f"{_OVERRIDE}/{partition}"


def pause_key(exporter: str) -> str:
    return f"{_PAUSE}/{exporter}"


def halt_key(partition: int) -> str:
    return f"{_HALT}/{partition}"


def again_key(task: str) -> str:
    return f"{_AGAIN}/{task}"


def handed_key(partition: int, name: str) -> str:
    return f"{_REJECTS}/{partition}/{name}"


def packed(row: InstanceRow | OwnerRow | HaltRow | AgainRow | HandedRow | Override | Pause | None) -> bytes | None:
    return None if row is None else _pack(row)


def _row(value: bytes | None, kind: Any) -> Any:
    return None if value is None else msgspec.json.decode(value, type=kind)


def _put(rows: dict[Any, Any], key: Any, row: Any) -> None:
    if row is None:
        rows.pop(key, None)
    else:
        rows[key] = row
