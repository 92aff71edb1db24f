"""What of a unit a database can hold: found out before anything of it is written.

Without this a log in files of its own takes what its database refuses later, or what cannot be read again; and then
nobody can open it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import countOf

from engine.core.unit import Unit
from engine.log.storage import StorageError

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1
# Of a row, its few other bytes left out.
_ROW_BYTES_MAX = 1_000_000_000 - 1_000


def check_storable(unit: Unit) -> None:
    """Of what a unit changes, all types and the range of its numbers; that is cheap.

    Exact types, for what is stored as something else could not be read again. Raises `StorageError`.
    """
    if unit.state:
        _check_state(unit.state)
    # Each commit of a source has one of these, and many have one of those: no call for what is good.
    for p in unit.progress:
        offset, extra, cursor = p.offset, p.extra, p.cursor
        if not (
            type(p.source) is str
            and type(offset) is type(extra) is int
            and (cursor is None or type(cursor) is bytes)
            and _INT_MIN <= offset <= _INT_MAX
            and _INT_MIN <= extra <= _INT_MAX
        ):
            raise refused(
                f"a source, offset, extra values and cursor are {p.source!r}, {offset!r}, {extra!r}, {cursor!r}"
            )
    for a in unit.acknowledged.values() if unit.acknowledged else ():
        position, cursor = a.position, a.cursor
        if not (
            type(a.exporter) is str
            and type(position) is int
            and (cursor is None or type(cursor) is bytes)
            and _INT_MIN <= position <= _INT_MAX
        ):
            raise refused(f"an exporter, its position and cursor are {a.exporter!r}, {position!r}, {cursor!r}")
    if unit.processed_position is not None:
        _check_ints("the processed position", (unit.processed_position,))
    if unit.timers_added:
        # The number that follows has to be one too.
        _check_ints("the number of a timer", [timer.timer_id for timer in unit.timers_added], _INT_MAX - 1)
        _check_ints("the time of a timer", [timer.due_wall_ns for timer in unit.timers_added])
        _check_bytes("the command of a timer", [timer.command for timer in unit.timers_added])
    if unit.timers_fired:
        _check_ints("the number of a timer", unit.timers_fired)
    if unit.outbox:
        _check_ints("the number of a message", [message.sequence for message in unit.outbox], _INT_MAX - 1)
        _check_ints("the receiver of a message", [message.receiver for message in unit.outbox])
        _check_bytes("the command of a message", [message.command for message in unit.outbox])
    if unit.delivered:
        _check_sequences(unit.delivered)
    if unit.received:
        _check_sequences(unit.received)


def check_sizes(unit: Unit) -> None:
    """Of what a unit changes, whatever may be too large for the database. Raises `StorageError`."""
    rows: list[tuple[object, ...]] = [*unit.state.items(), *((t.command,) for t in unit.timers_added)]
    rows += [(m.command,) for m in unit.outbox]
    rows += [(p.source, p.cursor) for p in unit.progress]
    rows += [(a.exporter, a.cursor) for a in unit.acknowledged.values()]
    for row in rows:
        size = sum(
            len(part.encode() if isinstance(part, str) else part) for part in row if isinstance(part, str | bytes)
        )
        if size > _ROW_BYTES_MAX:
            raise refused(f"{size} bytes in one place are more than the database holds")


def refused(why: str) -> StorageError:
    """For a unit that cannot be stored, whenever it is tried."""
    return StorageError("storage_error", f"it cannot be stored: {why}")


def _check_state(state: dict[str, bytes | None]) -> None:
    try:
        # Far quicker than a look at each; what is no text makes it fail.
        "".join(state)
    except TypeError as error:
        raise refused(f"a key of the state is no text: {error}") from error
    if countOf(map(type, state.values()), bytes) < len(state):
        others = {*map(type, state.values())} - {bytes, type(None)}
        if others:
            raise refused(f"a value of the state is {others.pop().__name__}, not bytes")


def _check_ints(what: str, numbers: Sequence[int], most: int = _INT_MAX) -> None:
    for number in numbers:
        if type(number) is not int:
            raise refused(f"{what} is {type(number).__name__}, not an int")
        if not _INT_MIN <= number <= most:
            raise refused(f"{what} is {number}, which is too large")


def _check_sequences(by_partition: dict[int, int]) -> None:
    _check_ints("the number of a partition", [*by_partition])
    _check_ints("the number of a message", [*by_partition.values()], _INT_MAX - 1)


def _check_bytes(what: str, parts: Iterable[bytes]) -> None:
    for part in parts:
        if type(part) is not bytes:
            raise refused(f"{what} is {type(part).__name__}, not bytes")
