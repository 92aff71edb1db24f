"""Where records enter from outside, when the partitions are spread over workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any

from engine.core.errors import PenstockError, WriteFailedError, WrongRecordError
from engine.core.records import Place
from engine.flow.gate import Refusal
from engine.runtime.intake import Written
from engine.workers.process import WorkerLost
from engine.workers.seat import Seat

_Asked = Sequence[tuple[Seat, Future[Any]]]


class SpreadIntake:
    """Keeps the promises of `Intake.write` over all workers; any thread may call.

    A worker finds the keys, for they are user code. Records of one worker are written by that worker at once; of
    several, all admit their part before any writes.
    """

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats = seats
        self._numbers = count(1)

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        """Raises as `Intake.write` does; a worker that is away is a log that cannot be written to just now."""
        if partition is not None:
            # A number that does not exist is for any of them to refuse.
            owner = next((seat for seat in self._seats if partition in seat.share.partitions), self._anybody())
            return self._outcome(owner, owner.call("write", values, partition=partition))
        anybody = self._anybody()
        turns = self._answer(anybody, anybody.call("partitions_of", values))
        indexes = {
            seat: [index for index, number in enumerate(turns) if number in seat.share.partitions]
            for seat in self._seats
        }
        indexes = {seat: own for seat, own in indexes.items() if own}
        if len(indexes) > 1:
            return self._write_together(values, indexes)
        owner = next(iter(indexes), anybody)
        return self._outcome(owner, owner.call("write", values))

    def _write_together(self, values: Sequence[Any], indexes: Mapping[Seat, Sequence[int]]) -> Written | Refusal:
        number = next(self._numbers)
        asked = [(seat, seat.call("reserve", number, [values[i] for i in own])) for seat, own in indexes.items()]
        admitted: list[Seat] = []
        refused: Refusal | None = None
        wrong: PenstockError | None = None
        for seat, future in asked:
            try:
                answer = self._answer(seat, future)
            except WrongRecordError as error:
                wrong = WrongRecordError(None if error.index is None else indexes[seat][error.index], error.why)
            except PenstockError as error:
                # Also a fault of the worker's own: the others must not keep what they admitted.
                wrong = error
            else:
                # The one that takes longest: sooner it would be refused again.
                refused = max(filter(None, (refused, answer)), key=lambda r: r.retry_after_ns, default=None)
                if answer is None:
                    admitted.append(seat)
        if wrong is not None or refused is not None:
            for seat in admitted:
                seat.call("give_back", number)
            if wrong is not None:
                raise wrong
            assert refused is not None, "one of both"
            return refused
        return self._written([(seat, seat.call("write_reserved", number)) for seat in indexes], indexes)

    def _written(self, asked: _Asked, indexes: Mapping[Seat, Sequence[int]]) -> Written:
        places: dict[int, Place] = {}
        failed: WriteFailedError | None = None
        for seat, future in asked:
            own = indexes[seat]
            try:
                written: Written = self._answer(seat, future)
            except WriteFailedError as error:
                failed = error
                places.update((own[index], place) for index, place in error.written.items())
            except PenstockError as error:
                failed = WriteFailedError(f"worker {seat.number}: {error}", passing=False)
            else:
                places.update(zip(own, written.places, strict=True))
        if failed is not None:
            raise WriteFailedError(str(failed), passing=failed.passing, too_large=failed.too_large, written=places)
        return Written(tuple(place for _, place in sorted(places.items())))

    def _anybody(self) -> Seat:
        for seat in self._seats:
            if seat.is_open:
                return seat
        raise WriteFailedError("the engine is not running and takes no records", passing=True)

    def _outcome(self, seat: Seat, future: Future[Any]) -> Written | Refusal:
        outcome: Written | Refusal = self._answer(seat, future)
        return outcome

    @staticmethod
    def _answer(seat: Seat, future: Future[Any]) -> Any:
        try:
            return future.result()
        except WorkerLost as error:
            raise WriteFailedError(
                f"worker {seat.number} is away and is started again; what was on its way to its partitions may have "
                "been written or not",
                passing=True,
            ) from error
