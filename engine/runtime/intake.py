"""The intake: where records enter the log without a source, refused where a source would be held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from threading import Condition, Lock
from typing import Any

from engine.core.clock import NS_PER_SECOND
from engine.core.columns import Columns
from engine.core.errors import AppendError, PartitionLostError, StoppedError, WriteFailedError, WrongRecordError
from engine.core.identity import partition_of
from engine.core.records import Place, Record, RecordType, WriteSource, encode_record
from engine.core.storable import UNSTORABLE, any_too_deep
from engine.core.unit import Unit
from engine.flow.gate import Permit, Refusal
from engine.partition.partition import Partition
from engine.partition.retention import DiskSpace
from engine.writing.log_writer import SOURCE_INTENT

# A plain string: to encode a member of an enumeration costs more.
_COMMAND = RecordType.COMMAND.value
KeyText = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Written:
    """All records of a request are durable; `places` are in the order in which they were given."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Reserved:
    """Records that all their partitions have admitted: a unit each, the permits of those not yet written, and each
    value's partition.

    The permits are those of these very partitions: one that was closed and opened again knows nothing of them.
    """

    partitions: Mapping[int, Partition]
    units: Mapping[int, Unit]
    turns: Sequence[int]
    permits: dict[int, Permit]


class Intake:
    """Writes what comes from outside as `user_command`, any number of threads at once.

    All partitions admit before any is written, so a refusal means that nothing was. What one request brings to one
    partition is one atomic unit. Nothing in here waits for a limit; a call lasts as long as its commits.
    Open from `open` to `close`; `close` waits for the calls in hand, so that the log may be closed behind it.
    """

    def __init__(self, partitions: Mapping[int, Partition], count: int, key: KeyText | None, value_type: str) -> None:
        """`count` is of all partitions, wherever they are; those in the mapping can be written to."""
        self._partitions = partitions
        self._count = count
        self._key = key
        self._value_type = value_type
        self._changed = Condition(Lock())
        # Guarded by _changed.
        self._is_open = False
        self._calls = 0

    def open(self) -> None:
        with self._changed:
            self._is_open = True

    def close(self, timeout_ns: int) -> None:
        """Refuses what comes from now on and waits for what is in hand."""
        with self._changed:
            self._is_open = False
            self._changed.wait_for(lambda: self._calls == 0, timeout_ns / NS_PER_SECOND)

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Makes one record of each value, on its key's partition or on the one that is named.

        Raises `WrongRecordError` for a value that cannot be a record (nothing was written), `WriteFailedError` with
        what was written all the same when the log cannot take it or the engine is stopping.
        """
        with self._call():
            reserved = self._reserve(values, partition)
            return reserved if isinstance(reserved, Refusal) else self._write(reserved)

    # The same in two steps, for records of which other processes write a part.

    def partitions_of(self, values: Sequence[Any]) -> list[int]:
        """The partition that each value belongs to, by its key. Raises `WrongRecordError`."""
        return [partition_of(self._key_text_of(value, index), self._count) for index, value in enumerate(values)]

    def reserve(self, values: Sequence[Any]) -> Reserved | Refusal:
        """Admits the values, and writes nothing yet: whoever gets this writes it or gives it back."""
        with self._call():
            _check_sayable(values)
            return self._reserve(values, None)

    def write_reserved(self, reserved: Reserved) -> Written:
        """Writes what was admitted. Raises `WriteFailedError` as `write` does."""
        try:
            with self._call():
                return self._write(reserved)
        finally:
            # Of what was written there is nothing left to give back.
            self.give_back(reserved)

    def give_back(self, reserved: Reserved) -> None:
        """It is not written after all."""
        _give_back(reserved)

    def _reserve(self, values: Sequence[Any], partition: int | None) -> Reserved | Refusal:
        units, turns = self._units(values, partition)
        reserved = Reserved({number: self._partitions[number] for number in units}, units, turns, {})
        _check_room(reserved)
        return self._admitted(reserved)

    def _write(self, reserved: Reserved) -> Written:
        units = reserved.units
        _append(reserved)
        if len(units) == 1:
            ((number, unit),) = units.items()
            first = unit.first_position
            # All of it runs in C.
            return Written(tuple(map(Place, repeat(number), range(first, first + len(unit.records)))))
        return Written(tuple([place for _, place in _numbered(units, reserved.turns)]))

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._changed:
            if not self._is_open:
                raise WriteFailedError("the engine is not running and takes no records", passing=True)
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                if not self._calls:
                    self._changed.notify_all()

    def _units(self, values: Sequence[Any], partition: int | None) -> tuple[dict[int, Unit], list[int]]:
        """A unit for each partition in question, lowest first, and each value's partition."""
        if partition is not None and not 1 <= partition <= self._count:
            raise WrongRecordError(None, f"there is no partition {partition}; there are 1 to {self._count}")
        if partition is None and self._key is None and self._count > 1:
            raise WrongRecordError(None, "the pipeline has no key that says where a record goes; name a partition")
        if any_too_deep(values):
            _check_sayable(values)
        keys = [self._key_text_of(value, index) for index, value in enumerate(values)]
        if partition is not None or self._count == 1:
            number = partition or 1
            return {number: self._unit(keys, [*values])} if values else {}, [number] * len(values)
        turns = [partition_of(key, self._count) for key in keys]
        by_partition: dict[int, tuple[list[str], list[Any]]] = {number: ([], []) for number in sorted({*turns})}
        for number, key, value in zip(turns, keys, values, strict=True):
            its_keys, its_values = by_partition[number]
            its_keys.append(key)
            its_values.append(value)
        if len(by_partition) > 1:
            _check_sayable(values)
        return {number: self._unit(*columns) for number, columns in by_partition.items()}, turns

    def _unit(self, keys: list[str], values: list[Any]) -> Unit:
        heads = [(_COMMAND, self._value_type, SOURCE_INTENT)]
        return Unit(source=WriteSource.USER_COMMAND, records=Columns(heads=heads, keys=keys, values=values))

    def _key_text_of(self, value: Any, index: int) -> str:
        if self._key is None:
            return ""
        try:
            return self._key(value)
        # The key is a function of the user's and may raise anything.
        except Exception as error:
            raise WrongRecordError(index, f"has no key: {type(error).__name__}: {error}") from error

    def _admitted(self, reserved: Reserved) -> Reserved | Refusal:
        """Takes a permit from every partition, or has the refusal of the first that gives none."""
        units = reserved.units
        for number, unit in units.items():
            partition = reserved.partitions[number]
            always_allowed = partition.always_allowed.covers_kind(self._value_type, SOURCE_INTENT)
            answer = partition.try_acquire(WriteSource.USER_COMMAND, len(unit.records), always_allowed=always_allowed)
            if isinstance(answer, Refusal):
                _give_back(reserved)
                return _come_again(answer, reserved) if len(units) > 1 else answer
            reserved.permits[number] = answer
        return reserved


def _check_room(reserved: Reserved) -> None:
    for number, partition in reserved.partitions.items():
        if partition.disk_space is not DiskSpace.ENOUGH:
            raise WriteFailedError(f"the disk of partition {number} is all but full", passing=False)
        if (why := partition.why_away) is not None:
            # Who waits in the line already finds out when it is back.
            raise WriteFailedError(why, passing=True)


def _come_again(refusal: Refusal, reserved: Reserved) -> Refusal:
    """The refusal of one partition with the time at which all of them admit; they await it together."""
    gates = [partition.gate for partition in reserved.partitions.values()]
    after_ns = max(refusal.retry_after_ns, *(gate.wait_ns() for gate in gates))
    for gate in gates:
        gate.expect_back(after_ns)
    return replace(refusal, retry_after_ns=after_ns)


def _give_back(reserved: Reserved) -> None:
    """The permits of what was not written."""
    for number, permit in reserved.permits.items():
        unit = reserved.units[number]
        reserved.partitions[number].gate.give_back(permit, unit.source, len(unit.records))
    reserved.permits.clear()


def _append(reserved: Reserved) -> None:
    try:
        for number, unit in reserved.units.items():
            reserved.partitions[number].append(unit, reserved.permits.pop(number))
    except BaseException as error:
        _give_back(reserved)
        if isinstance(error, AppendError | StoppedError | PartitionLostError):
            stored = {n: u for n, u in reserved.units.items() if u.first_position >= 0}
            written = dict(_numbered(stored, reserved.turns))
            passing = not isinstance(error, AppendError) or error.passing
            too_large = isinstance(error, AppendError) and error.too_large
            raise WriteFailedError(str(error), passing=passing, too_large=too_large, written=written) from error
        if isinstance(error, UNSTORABLE):
            # Of several partitions each was checked before; with one, nothing was written.
            assert isinstance(unit.records, Columns), "they were made here"
            _check_sayable(unit.records.values)
        raise


def _check_sayable(values: Sequence[Any]) -> None:
    """Raises `WrongRecordError` for the first value that the log has no words for."""
    for index, value in enumerate(values):
        try:
            encode_record(Record("", "", "", "", value))
        except UNSTORABLE as error:
            raise WrongRecordError(index, f"cannot be stored: {error}") from error


def _numbered(units: Mapping[int, Unit], turns: Sequence[int]) -> Iterator[tuple[int, Place]]:
    """The place of each value that is in one of the units, with the value's number."""
    position = {number: unit.first_position for number, unit in units.items()}
    for index, number in enumerate(turns):
        if number in position:
            yield index, Place(number, position[number])
            position[number] += 1
