"""What can go wrong in a broken world. Refusals are values and have no place here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.core.records import Place


class PenstockError(Exception):
    """Root of all errors that Penstock raises on purpose; its text is one sentence for a user."""

    def __reduce__(self) -> tuple[object, ...]:
        # They come back from worker processes, whatever their constructors ask for.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[PenstockError], args: tuple[object, ...], fields: Mapping[str, object]) -> PenstockError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class ConfigurationError(PenstockError):
    """Something that was asked for cannot be: the text names the key, the rule and the value."""


class SettingError(ConfigurationError):
    """A value outside its bound. `field` is the dotted key below its section, `rule` what must hold."""

    def __init__(self, field: str, rule: str, value: object) -> None:
        super().__init__(f"{field} {rule}, not {value}")
        self.field = field
        self.rule = rule
        self.value = value


class DataFolderError(PenstockError):
    """The data folder cannot be used: unwritable, in use by another process, or of another format."""


class LogCorruptedError(PenstockError):
    """A committed batch does not match its checksum; the partition stops with the position."""

    def __init__(self, partition: int, position: int, why: str) -> None:
        super().__init__(f"partition {partition}: batch at position {position} is damaged: {why}")
        self.partition = partition
        self.position = position


class AppendError(PenstockError):
    """The log could not store a unit (disk full, I/O error); nothing of the unit was stored."""

    def __init__(self, why: str, *, passing: bool = False, too_large: bool = False) -> None:
        super().__init__(why)
        # Whether the log is only out of reach for a while, and whether no log of this kind will ever take the unit.
        self.passing = passing
        self.too_large = too_large


class PartitionLostError(PenstockError):
    """Another instance has the partition; whoever wrote to it here stops."""


class StateReadError(PenstockError):
    """Committed state could not be read: no fault of the record in hand, so the run stops and none is rejected."""


class WrongRecordError(PenstockError):
    """A value from outside that cannot be a record. `index` counts the values of its request, where one is to blame."""

    def __init__(self, index: int | None, why: str) -> None:
        super().__init__(why if index is None else f"record {index + 1} {why}")
        self.index = index
        self.why = why


class WriteFailedError(PenstockError):
    """Records from outside could not be written, or not all of them.

    `written` has the place of each value that is in the log all the same, by its number in the request (from 0).
    """

    def __init__(
        self,
        why: str,
        *,
        passing: bool,
        too_large: bool = False,
        written: Mapping[int, Place] | None = None,
        after_seconds: int | None = None,
    ) -> None:
        super().__init__(why)
        # When it is worth trying again, where that is known.
        self.after_seconds = after_seconds
        # Whether it passes by itself: the engine starts or ends, a worker or the log's cluster is away. Otherwise the
        # log has no room, is broken, or will never take so much at once.
        self.passing = passing
        self.too_large = too_large
        self.written = dict(written or {})


class RefusedRecordsError(PenstockError):
    """A record exporter's target refuses exactly these records, whatever is tried; all others of the call are safe.

    `reasons` says why, by position. An exporter that returns a cursor says it here, for the others. `certain` are the
    positions that no target has to be asked about again: JSON cannot say the value, for instance.
    """

    def __init__(self, reasons: Mapping[int, str], cursor: bytes | None = None, *, certain: Iterable[int] = ()) -> None:
        first = min(reasons)
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        super().__init__(f"the record at position {first} is refused: {reasons[first]}{more}")
        self.reasons = dict(reasons)
        self.cursor = cursor
        self.certain = frozenset(certain)


class TargetError(PenstockError):
    """A record exporter's target cannot be reached, or answers that it cannot do what was asked."""


class RetryLaterError(PenstockError):
    """A record exporter's target is busy and says when to come again."""

    def __init__(self, why: str, after_ns: int) -> None:
        super().__init__(why)
        self.after_ns = after_ns


class DamagedInputError(PenstockError):
    """An input ends too early, or goes on in a way that nobody can read; all that came before is good."""


class NotReadyError(PenstockError):
    """What was asked for needs an engine that runs, and this one does not, or not all of it."""

    def __init__(self, why: str, *, after_seconds: int = 1) -> None:
        super().__init__(why)
        # When it is worth asking again.
        self.after_seconds = after_seconds


class StoppedError(PenstockError):
    """A wait ended because the engine, the partition or the channel is stopping."""


class TaskFailedError(PenstockError):
    """A task ended by a failure of its own or of user code; the run stops and says where."""
