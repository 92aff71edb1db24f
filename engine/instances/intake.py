"""Where records enter from outside on any instance: what belongs to others goes to them, once."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import WriteFailedError, WrongRecordError
from engine.core.records import Place
from engine.flow.gate import Refusal
from engine.instances.board import Board
from engine.instances.here import PartitionsHere
from engine.runtime.intake import Intake, Reserved, Written

# When a partition that moves is likely to be back.
_BACK_SECONDS = 1
# What was admitted for another instance and not written by then is given back.
_RESERVED_NS = 5 * NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who brings records: by which name it says so, and whether an instance handed them on already."""

    authorization: str | None = None
    is_instance: bool = False


class Forward(Protocol):
    """The way to other instances' gateways. Each raises `WriteFailedError` and `WrongRecordError` as they do there.

    `url` is a gateway's. What it refuses is refused here in the same words.
    """

    def write(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal: ...

    def reserve(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> str | Refusal:
        """Has them admitted there and not yet written; a token for who writes them, or gives them back."""
        ...

    def write_reserved(self, url: str, token: str, caller: Caller) -> Written: ...

    def give_back(self, url: str, token: str, caller: Caller) -> None:
        """Never raises: what is not given back there is soon given back by itself."""
        ...


@dataclass(slots=True)
class _Part:
    """What of a request goes to one instance."""

    # None for this one.
    url: str | None
    indexes: list[int]


class SharedIntake:
    """Keeps the promises of `Intake.write` over all instances; any thread may call.

    All partitions admit before any is written, wherever they are. What was handed on once is not handed on again: so
    there are no circles. Where nobody knows who has a partition, or its owner does not have it yet, all of the request
    is refused for a moment.
    """

    def __init__(self, here: PartitionsHere, local: Intake, partitions: int, board: Board, clock: Clock) -> None:
        self._here = here
        self._local = local
        self._partitions = partitions
        self._board = board
        self._clock = clock
        self.forward: Forward | None = None
        self._lock = threading.Lock()
        # Guarded by the lock: what was admitted for others, by token, and records that others were handed, by what
        # became of them.
        self._reserved: dict[str, tuple[Reserved, int]] = {}
        self._forwarded = {"accepted": 0, "refused": 0, "failed": 0}

    @property
    def forwarded(self) -> Mapping[str, int]:
        """Records that other instances were handed, by what became of them: accepted, refused, failed."""
        with self._lock:
            return dict(self._forwarded)

    def _count(self, outcome: str, records: int) -> None:
        with self._lock:
            self._forwarded[outcome] += records

    def open(self) -> None:
        self._local.open()

    def close(self, timeout_ns: int) -> None:
        self._local.close(timeout_ns)

    def write(self, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        turns = self._turns(values, partition)
        with self._here.held({*turns}) as mine:
            parts = self._parts(turns, mine, caller)
            if not parts or (len(parts) == 1 and parts[0].url is None):
                return self._written_here(values, partition)
            if len(parts) == 1:
                return self._written_there(parts[0], values, partition, caller)
            return self._write_together(parts, values, caller)

    def _turns(self, values: Sequence[Any], partition: int | None) -> list[int]:
        if partition is None:
            return self._local.partitions_of(values)
        if not 1 <= partition <= self._partitions:
            raise WrongRecordError(None, f"there is no partition {partition}; there are 1 to {self._partitions}")
        return [partition] * len(values)

    def _parts(self, turns: Sequence[int], mine: frozenset[int], caller: Caller) -> list[_Part]:
        urls = {number: None if number in mine else self._url_of(number, caller) for number in {*turns}}
        parts: dict[str | None, _Part] = {}
        for index, number in enumerate(turns):
            url = urls[number]
            parts.setdefault(url, _Part(url, [])).indexes.append(index)
        return list(parts.values())

    def _url_of(self, number: int, caller: Caller) -> str:
        owner = self._board.owner(number)
        row = None if owner is None else self._board.instance(owner.instance)
        if row is None or caller.is_instance or not row.gateway or self.forward is None:
            why = f"partition {number} is moving" if row is None else f"partition {number} is with instance {row.name}"
            raise WriteFailedError(f"{why}; try again in a moment", passing=True, after_seconds=_BACK_SECONDS)
        return row.gateway

    def _written_here(self, values: Sequence[Any], partition: int | None) -> Written | Refusal:
        try:
            return self._local.write(values, partition=partition)
        except KeyError as error:
            raise _left(error.args[0]) from error

    def _written_there(
        self, part: _Part, values: Sequence[Any], partition: int | None, caller: Caller
    ) -> Written | Refusal:
        assert part.url is not None, "it is another instance's"
        assert self.forward is not None, "it was asked for"
        try:
            answer = self.forward.write(part.url, values, partition, caller)
        except WriteFailedError:
            self._count("failed", len(values))
            raise
        self._count("refused" if isinstance(answer, Refusal) else "accepted", len(values))
        return answer

    # -- of several instances ---

    def _write_together(self, parts: Sequence[_Part], values: Sequence[Any], caller: Caller) -> Written | Refusal:
        forward = self.forward
        assert forward is not None, "it was asked for"
        admitted: list[tuple[_Part, str | Reserved]] = []
        try:
            for part in parts:
                answer = self._admitted(part, [values[i] for i in part.indexes], caller)
                if isinstance(answer, Refusal):
                    self._give_back(admitted, caller)
                    return answer
                admitted.append((part, answer))
        except WrongRecordError as error:
            self._give_back(admitted, caller)
            index = error.index
            raise WrongRecordError(None if index is None else part.indexes[index], error.why) from error
        except BaseException:
            self._give_back(admitted, caller)
            raise
        places: dict[int, Place] = {}
        failed: WriteFailedError | None = None
        for part, token in admitted:
            try:
                if isinstance(token, str):
                    assert part.url is not None, "who has a token is another instance"
                    written = forward.write_reserved(part.url, token, caller)
                    self._count("accepted", len(part.indexes))
                else:
                    written = self._here_reserved(token)
            except WriteFailedError as error:
                failed = error
                if part.url is not None:
                    self._count("failed", len(part.indexes))
                places.update((part.indexes[index], place) for index, place in error.written.items())
            else:
                places.update(zip(part.indexes, written.places, strict=True))
        if failed is not None:
            raise WriteFailedError(str(failed), passing=failed.passing, too_large=failed.too_large, written=places)
        return Written(tuple(place for _, place in sorted(places.items())))

    def _admitted(self, part: _Part, values: Sequence[Any], caller: Caller) -> str | Reserved | Refusal:
        if part.url is None:
            try:
                return self._local.reserve(values)
            except KeyError as error:
                raise _left(error.args[0]) from error
        assert self.forward is not None, "it was asked for"
        try:
            answer = self.forward.reserve(part.url, values, None, caller)
        except WriteFailedError:
            self._count("failed", len(values))
            raise
        if isinstance(answer, Refusal):
            self._count("refused", len(values))
        return answer

    def _give_back(self, admitted: Sequence[tuple[_Part, str | Reserved]], caller: Caller) -> None:
        assert self.forward is not None, "it was asked for"
        for part, token in admitted:
            if isinstance(token, str):
                assert part.url is not None, "who has a token is another instance"
                self.forward.give_back(part.url, token, caller)
            else:
                self._local.give_back(token)

    def _here_reserved(self, reserved: Reserved) -> Written:
        """Only where the partitions that admitted it are still here: one that came back has admitted nothing of it."""
        with self._here.held(reserved.units) as mine:
            left = [n for n, one in reserved.partitions.items() if n not in mine or self._here.get(n) is not one]
            if left:
                self._local.give_back(reserved)
                raise _left(left[0])
            return self._local.write_reserved(reserved)

    # -- for another instance that writes to several ---

    def reserve(self, values: Sequence[Any], caller: Caller) -> str | Refusal:
        """Admits them here, for a few seconds. Raises as `write`; what is not here is not handed on."""
        turns = self._turns(values, None)
        with self._here.held({*turns}) as mine:
            if missing := {*turns} - mine:
                self._url_of(min(missing), Caller(is_instance=True))
            try:
                reserved = self._local.reserve(values)
            except KeyError as error:
                raise _left(error.args[0]) from error
        if isinstance(reserved, Refusal):
            return reserved
        token = uuid.uuid4().hex
        with self._lock:
            self._reserved[token] = (reserved, self._clock.monotonic_ns() + _RESERVED_NS)
        return token

    def write_reserved(self, token: str) -> Written:
        return self._here_reserved(self._taken(token))

    def give_back(self, token: str) -> None:
        with self._lock:
            reserved = self._reserved.pop(token, None)
        if reserved is not None:
            self._local.give_back(reserved[0])

    def _taken(self, token: str) -> Reserved:
        with self._lock:
            found = self._reserved.pop(token, None)
        if found is None:
            raise WriteFailedError(
                "what was admitted was given back: it was not written in time",
                passing=True,
                after_seconds=_BACK_SECONDS,
            )
        return found[0]

    def give_back_late(self) -> None:
        """Gives back what nobody has written in time; for the one who looks now and then."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            late = {token: reserved for token, (reserved, until_ns) in self._reserved.items() if until_ns < now_ns}
            for token in late:
                del self._reserved[token]
        for reserved in late.values():
            self._local.give_back(reserved)


def _left(number: int) -> WriteFailedError:
    return WriteFailedError(
        f"partition {number} has just left; try again in a moment", passing=True, after_seconds=_BACK_SECONDS
    )
