"""What a record exporter is: the last step, which hands records to the outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.core.records import ENGINE_VALUE_TYPE, Kind, Record, RecordType


@dataclass(frozen=True, slots=True)
class ExporterContext:
    """What an exporter is told when it opens: who it is and where it stood."""

    exporter: str
    partition: int
    partitions: int
    # Last position acknowledged in an earlier run; records follow from the next one.
    position: int
    # What the exporter handed back with that position; None at first.
    cursor: bytes | None
    # Last position of the log when it was opened: of what an earlier life handed over, only records up to there come
    # again. None where nobody says.
    last_position: int | None = None
    # Wall time at which the record at a position was written; None where the log cannot say. None: nobody can be asked.
    written_ns: Callable[[int], int | None] | None = None


class Exporter(Protocol):
    """Hands the records of one partition to the outside, in order, at least once.

    Its task's thread alone calls it. The engine promises: `open` once before all else; `export` with records of
    rising positions, never empty; the same records again after `export` raised; `close` once, also after a
    failure. The exporter promises: when `export` returns, the records are safe outside. What it returns (bytes
    or None) is stored with the position and given back by the next `open`.

    It may raise anything; records are then handed over again after a pause. `RetryLaterError` says how long that
    pause should be, `RefusedRecordsError` that these records are refused and all others are safe: then only those come
    again, together with others. While none of a call is taken the target is at fault and nothing is given up; a record
    that is refused again and again while others are taken is one that the policy of the pipeline decides about.
    """

    def open(self, context: ExporterContext) -> None: ...

    def export(self, records: Sequence[Record]) -> bytes | None: ...

    def close(self) -> None: ...


def reads_columns(exporter: Exporter) -> bool:
    """Whether it says `reads_columns = True`: its `export` gets a `Run`, which makes records only for who asks."""
    return getattr(exporter, "reads_columns", False) is True


def takes_again(exporter: Exporter) -> bool:
    """Whether it says `takes_again = True`: a record that it has taken may be handed over again, and changes nothing.

    Such a record shows whether the target is well when only refused ones are left.
    """
    return getattr(exporter, "takes_again", False) is True


@dataclass(frozen=True, slots=True)
class Safe:
    """Everything up to `position` is safe outside; `cursor` is stored with it."""

    position: int
    cursor: bytes | None = None


@runtime_checkable
class LaterExporter(Exporter, Protocol):
    """An exporter that takes records in `export` and says later that they are safe; what `export` returns is unused.

    `acknowledged` is asked after each `export` and every 50 ms while something is open; None while nothing is safe.
    Positions never go back, but for rejects that are replayed: these come when nothing is open, and `acknowledged` then
    names the last of them. If it raises, or `export` does, all records behind the last acknowledged one are handed over
    again, or the rejects are: what the exporter still holds of them it must forget.
    """

    def acknowledged(self) -> Safe | None: ...


ExporterFactory = Callable[[], Exporter]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records an exporter wants; None means all, but the engine's own, which have to be named (`penstock`).

    The others are skipped and acknowledged.
    """

    record_types: frozenset[RecordType] | None = None
    value_types: frozenset[str] | None = None

    def wants(self, record: Record) -> bool:
        return self._wants(record.record_type, record.value_type)

    def _wants(self, record_type: str, value_type: str) -> bool:
        if self.record_types is not None and record_type not in self.record_types:
            return False
        return value_type != ENGINE_VALUE_TYPE if self.value_types is None else value_type in self.value_types

    def passes(self, kinds: frozenset[Kind] | None) -> bool | None:
        """Whether all records of these kinds are wanted (True), none is (False), or some may be (None)."""
        if kinds is None:
            return None
        wanted = [self._wants(record_type, value_type) for record_type, value_type in kinds]
        return True if all(wanted) else None if any(wanted) else False
