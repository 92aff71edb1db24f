"""What waits to be committed, and how it becomes the batches of one commit: small writes share an encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby
from threading import Lock

from engine.core.columns import Columns
from engine.core.unit import Unit
from engine.log.codec import encode_batch

Stored = Callable[[int], None]

# A unit of so few records costs more by itself than by what is in it.
_SMALL_RECORDS_MAX = 16
# More than this together is one batch no longer: some storages bound a message, and a reader decodes all of one.
_TOGETHER_BYTES_MAX = 256 * 1024


class Ticket:
    """A unit waiting to be committed, or an operation. Its owner sleeps on `wake` until it is done or has to lead.

    A small one is encoded by who leads, with its neighbours in the line: the owner waits, so
    nobody changes them meanwhile. All others bring their `blob`, encoded while another one led.
    """

    __slots__ = ("blob", "done", "error", "is_small", "kinds", "operation", "started_ns", "stored", "unit", "wake")

    def __init__(
        self,
        unit: Unit,
        stored: Stored | None = None,
        operation: Callable[[], None] | None = None,
    ) -> None:
        """Raises what `encode_batch` does, for records that are not small."""
        self.unit = unit
        # When it came into the line.
        self.started_ns = 0
        self.stored = stored
        self.operation = operation
        self.blob: bytes | None = None
        self.kinds = ""
        self.is_small = 0 < len(unit.records) <= _SMALL_RECORDS_MAX and not unit.changes_something
        if unit.records and not self.is_small:
            self.blob, self.kinds = encode_batch(unit.records)
        self.done = False
        self.error: Exception | None = None
        self.wake: Lock | None = None


class Load:
    """What one or more tickets bring to a commit: a unit, and its records in one batch if it has any.

    Invariant: the records of `unit` are those of `tickets`, in their order.
    """

    __slots__ = ("blob", "kinds", "tickets", "unit")

    def __init__(self, unit: Unit, blob: bytes | None, kinds: str, tickets: Sequence[Ticket]) -> None:
        self.unit = unit
        self.blob = blob
        self.kinds = kinds
        self.tickets = tickets


def loads(tickets: Sequence[Ticket]) -> list[Load]:
    """In the order of the tickets, small neighbours of the same source together.

    A ticket whose records cannot be encoded brings none, and has the reason as its error.
    """
    found: list[Load] = []
    if len(tickets) == 1:
        # Who is alone is spared the look for neighbours.
        return _encoded(tickets[0]) if tickets[0].is_small else [_as_it_is(tickets[0])]
    for source, run in groupby(tickets, key=lambda ticket: ticket.unit.source if ticket.is_small else None):
        if source is None:
            found += map(_as_it_is, run)
        else:
            found += _together([*run])
    return found


def _as_it_is(ticket: Ticket) -> Load:
    return Load(ticket.unit, ticket.blob, ticket.kinds, (ticket,))


def _together(tickets: Sequence[Ticket]) -> Iterable[Load]:
    try:
        records = Columns.joined([ticket.unit.records for ticket in tickets])
        blob, kinds = encode_batch(records)
    except Exception:
        # Somebody's record; whose, each of them shows alone.
        return chain.from_iterable(map(_encoded, tickets))
    if len(blob) > _TOGETHER_BYTES_MAX:
        return chain.from_iterable(map(_encoded, tickets))
    return [Load(Unit(source=tickets[0].unit.source, records=records), blob, kinds, tickets)]


def _encoded(ticket: Ticket) -> list[Load]:
    try:
        blob, kinds = encode_batch(ticket.unit.records)
    except Exception as error:
        # Whatever it is, it is for the owner, who is waiting for it.
        ticket.error = error
        return []
    return [Load(ticket.unit, blob, kinds, (ticket,))]
