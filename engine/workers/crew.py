"""All workers of an engine: who runs what, and how they are brought together."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import combinations
from typing import Any

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import ConfigurationError, PenstockError
from engine.core.unit import ProgressBySource
from engine.runtime.share import deal
from engine.workers.blueprint import Blueprint, Outline
from engine.workers.part import PartOrder
from engine.workers.process import WorkerLost, WorkerProcess
from engine.workers.restarts import DEATHS_MAX
from engine.workers.seat import Seat

log = logging.getLogger("penstock.worker")

# A front that has not come to a halt after this time is stuck in user code: its process is ended.
_HALT_SECONDS = 10.0
# How often who waits for a worker looks whether it still should.
_LOOK_SECONDS = 0.1


class GivenUpError(PenstockError):
    """The workers are not brought together: somebody wants the end, or one keeps dying."""


class Crew:
    """The seats, and the steps in which their processes begin to work together. The supervisor's thread alone calls.

    Every step may raise `WorkerLost`, when a process dies meanwhile; `bring_together` is then called again.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        workers: int,
        order_of: Callable[[Seat], PartOrder],
        clock: Clock,
        *,
        opened: Callable[[Seat], None],
        told: Callable[[], None],
    ) -> None:
        """`opened` is told of every worker that has opened its partitions; `told` of news to look for."""
        self.seats = tuple(Seat(number) for number in range(1, workers + 1))
        self._blueprint = blueprint
        self._order_of = order_of
        self._clock = clock
        self._opened = opened
        self._told = told
        # The pipeline, once a worker has said what it is.
        self.outline: Outline | None = None
        self._epoch = 0
        # Those who have been given a socket to each other.
        self._connected: set[tuple[WorkerProcess | None, WorkerProcess | None]] = set()

    @property
    def owners(self) -> Mapping[int, int]:
        """The worker of every partition."""
        return {number: seat.number for seat in self.seats for number in seat.share.partitions}

    @property
    def has_lost(self) -> bool:
        return any(seat.process is None or seat.is_lost for seat in self.seats)

    def bring_together(
        self, claim: Callable[[Outline], int], pause: Callable[[int], None], given_up: Callable[[], bool]
    ) -> None:
        """Fills every seat, after its time where one died on it, and lets all work together.

        `claim` gives the lock of the data folder. Raises what a worker cannot begin with, `WorkerLost` when one dies
        meanwhile, and `GivenUpError` with the reason when that is no more to be tried.
        """
        for seat in self.seats:
            if seat.is_open and not seat.is_lost:
                # While others are away nothing can reach them; and what is on its way is void anyway.
                self._halted(seat)
        pause(self._bury_all())
        if given_up():
            raise GivenUpError("the engine is stopping")
        self._assemble(given_up, lock=claim(self._load(given_up)))
        if any(seat.starts > 1 for seat in self.seats):
            log.warning("all workers work together again")

    # -- steps ---

    def _load(self, given_up: Callable[[], bool]) -> Outline:
        """Starts a process for every empty seat; each makes the pipeline. Deals the shares the first time."""
        fresh = [seat for seat in self.seats if seat.process is None]
        for seat in fresh:
            seat.taken_by(WorkerProcess(seat.number, self._told))
        outlines = self._all(((seat, seat.call("load", self._blueprint)) for seat in fresh), given_up)
        if self.outline is None:
            self.outline = outlines[0]
            self._deal(outlines[0])
        for seat, outline in zip(fresh, outlines, strict=True):
            if outline != self.outline:
                raise ConfigurationError(
                    f"worker {seat.number} finds another pipeline than the others; {self._blueprint.reference} must "
                    "give the same one in every process"
                )
        return self.outline

    def _deal(self, outline: Outline) -> None:
        if len(self.seats) > outline.partitions:
            raise ConfigurationError(
                f"workers must not exceed the number of partitions ({outline.partitions}), not {len(self.seats)}"
            )
        for seat, share in zip(self.seats, deal(outline.partitions, outline.sources, len(self.seats)), strict=True):
            seat.share = share

    def _assemble(self, given_up: Callable[[], bool], *, lock: int) -> None:
        """Brings those that are new and those that are not into one new epoch. `lock` is the data folder's."""
        fresh = [seat for seat in self.seats if not seat.is_open]
        progress: dict[int, ProgressBySource] = {}
        for seat in self.seats:
            if seat.is_open:
                progress |= self._halted(seat)
        progress |= self._open(fresh, given_up, lock=lock)
        self._connect(given_up)
        self._epoch += 1
        self._all(((seat, seat.call("prepare", self._epoch, progress)) for seat in self.seats), given_up)
        self._all(((seat, seat.call("flow")) for seat in self.seats), given_up)

    def _open(
        self, fresh: Iterable[Seat], given_up: Callable[[], bool], *, lock: int
    ) -> Mapping[int, ProgressBySource]:
        """Lets those that are new open their partitions, all at the same time.

        A process that has opened them is never asked again: it runs them, and a second one would write over it.
        """
        progress: dict[int, ProgressBySource] = {}
        lost: WorkerLost | None = None
        orders = [(seat, seat.call("open", self._order_of(seat), descriptors=(lock,))) for seat in fresh]
        for seat, order in orders:
            try:
                (opened,) = self._all([(seat, order)], given_up)
                progress |= opened
                seat.is_open = True
                self._opened(seat)
                (first,) = self._all([(seat, seat.call("snapshot"))], given_up)
                seat.take(first)
            except WorkerLost as error:
                # What became of the others has to be known all the same.
                lost = lost or error
        if lost is not None:
            raise lost
        return progress

    def _halted(self, seat: Seat) -> Mapping[int, ProgressBySource]:
        try:
            stored: Mapping[int, ProgressBySource] = seat.call("halt").result(_HALT_SECONDS)
        except FutureTimeoutError:
            log.error("worker %d does not come to a halt and is ended", seat.number)
            if seat.process is not None:
                seat.process.kill()
            raise WorkerLost(f"worker {seat.number} did not come to a halt") from None
        return stored

    def _connect(self, given_up: Callable[[], bool]) -> None:
        """A socket for every two workers that have none yet. Only they have it: no name, no file, nothing to leak."""
        pairs = {(one.process, other.process): (one, other) for one, other in combinations(self.seats, 2)}
        connected: list[tuple[Seat, Future[Any]]] = []
        for processes, (one, other) in pairs.items():
            if processes not in self._connected:
                for_one, for_other = socket.socketpair()
                with for_one, for_other:
                    connected.append((one, one.call("connect", other.number, descriptors=(for_one.fileno(),))))
                    connected.append((other, other.call("connect", one.number, descriptors=(for_other.fileno(),))))
        self._connected = set(pairs)
        self._all(connected, given_up)

    def _all(self, asked: Iterable[tuple[Seat, Future[Any]]], given_up: Callable[[], bool]) -> list[Any]:
        """The answers, in order. Raises the first error, `WorkerLost` where one dies, and `GivenUpError`."""
        answers: list[Any] = []
        for _, future in list(asked):
            while True:
                try:
                    answers.append(future.result(_LOOK_SECONDS))
                    break
                except FutureTimeoutError:
                    if given_up():
                        raise GivenUpError("the engine is stopping") from None
        return answers

    # -- the dead ---

    def _bury_all(self) -> int:
        """Takes leave of every process that is dead; returns how long to wait before the next ones."""
        longest_ns = 0
        for seat in self.seats:
            if not seat.is_lost:
                continue
            done = seat.got_something_done
            how = self._buried(seat)
            delay_ns = seat.restarts.died(self._clock.monotonic_ns(), got_something_done=done)
            if delay_ns is None:
                raise GivenUpError(
                    f"worker {seat.number} {how}; it died {DEATHS_MAX} times in a row with nothing done in between"
                )
            log.error("worker %d %s; it is started again in %g s", seat.number, how, delay_ns / NS_PER_SECOND)
            longest_ns = max(longest_ns, delay_ns)
        return longest_ns

    def _buried(self, seat: Seat) -> str:
        assert seat.process is not None, "a process that is dead was there"
        process_id, how = seat.process.process_id, seat.process.reap()
        seat.emptied(self._clock.wall_ns())
        return f"(process {process_id}) {how}"

    def bury(self) -> str:
        """One that died, and how, in words."""
        seat = next(seat for seat in self.seats if seat.is_lost)
        return f"worker {seat.number} {self._buried(seat)}"

    def kill(self) -> None:
        """Ends all that still run, and waits for it."""
        for seat in self.seats:
            if seat.process is not None:
                seat.process.kill()
        for seat in self.seats:
            if seat.process is not None:
                seat.process.reap()
                seat.emptied(self._clock.wall_ns())
