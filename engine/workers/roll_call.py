"""Asking all workers the same, and putting their answers together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.snapshot import EngineSnapshot
from engine.workers.process import WorkerLost
from engine.workers.seat import Seat

# How long a look waits for a worker; what was last known stands in for one that does not answer.
_LOOK_SECONDS = 2.0


class RollCall:
    """Asks every worker that has its partitions open; any thread may call. A call takes at most its time."""

    def __init__(self, seats: Sequence[Seat], clock: Clock) -> None:
        self._seats = seats
        self._clock = clock

    def answers(self, asked: Sequence[Future[Any]], seconds: float = _LOOK_SECONDS) -> list[Any]:
        """None where there is no answer in time, or nobody to give one."""
        answers: list[Any] = []
        deadline_ns = self._clock.monotonic_ns() + round(seconds * NS_PER_SECOND)
        for future in asked:
            try:
                answers.append(future.result(max(0, deadline_ns - self._clock.monotonic_ns()) / NS_PER_SECOND))
            except (WorkerLost, FutureTimeoutError):
                answers.append(None)
        return answers

    def of_all(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """One answer a seat; None for those that have not their partitions open."""
        return self.answers(
            [seat.call(method, *arguments, **keywords) if seat.is_open else _no_answer() for seat in self._seats]
        )

    def by_partition(self, method: str) -> dict[int, Any]:
        """The answers of all workers, which are by partition each."""
        answers = [answer for answer in self.of_all(method) if answer is not None]
        return dict(sorted((number, said) for answer in answers for number, said in answer.items()))

    def snapshots(self) -> list[EngineSnapshot]:
        """What every worker says of itself, or said last; the seats keep it."""
        for seat, snapshot in zip(self._seats, self.of_all("snapshot"), strict=True):
            if snapshot is not None:
                seat.take(snapshot)
        return [known for seat in self._seats if (known := seat.known) is not None]

    def take_histories(self) -> None:
        """Lets the seats know their workers' throttling episodes and changes of limits."""
        episodes, changes = self.of_all("throttling_episodes"), self.of_all("limit_changes")
        for seat, own_episodes, own_changes in zip(self._seats, episodes, changes, strict=True):
            if own_episodes is not None and own_changes is not None:
                seat.take_history(own_episodes, own_changes)


def _no_answer() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(None)
    return future
