"""The engine over several processes: the same door, with nobody's code behind it but our own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import ConfigurationError, PenstockError, TaskFailedError
from engine.core.rarely import Rarely, and_more
from engine.core.readiness import check_takes_records
from engine.core.snapshot import EngineSnapshot, EngineState
from engine.flow.gate import Refusal
from engine.flow.settings import FlowControlSettings
from engine.options import EngineOptions
from engine.runtime.door import Door
from engine.runtime.intake import Written
from engine.runtime.kept import KeptInFolder
from engine.runtime.merging import merged
from engine.runtime.replaying import ReplayStanding
from engine.workers.blueprint import Blueprint, Outline
from engine.workers.by_hand import ByHand
from engine.workers.crew import Crew, GivenUpError
from engine.workers.owners import Workers
from engine.workers.part import PartOrder, PartReport
from engine.workers.process import WorkerLost
from engine.workers.roll_call import RollCall
from engine.workers.seat import Seat
from engine.workers.spread_intake import SpreadIntake

log = logging.getLogger("penstock.engine")

# How often the supervisor looks when it is told nothing: what a worker counted since the last look dies with it.
_LOOK_EVERY_NS = NS_PER_SECOND // 2
_HISTORY_EVERY_NS = 5 * NS_PER_SECOND
_END_LOOK_SECONDS = 0.1
# How long after the drain time workers that still run are ended.
_END_GRACE_NS = 10 * NS_PER_SECOND


class WorkerEngine(Door):
    """Runs one pipeline in `workers` processes over one data folder; the same to its users as `Engine`.

    This process runs no user code: the pipeline is made in each worker by `blueprint`. A supervisor thread starts the
    workers, starts those again that die, and ends them.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        data: Path | str,
        *,
        workers: int,
        name: str = "",
        flow_control: FlowControlSettings | None = None,
        options: EngineOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`name` is the pipeline's, for who looks before a worker has said it."""
        if workers < 1:
            raise ConfigurationError(f"workers must be at least 1, not {workers}")
        if options is not None and options.storage == "kafka":
            raise ConfigurationError(
                "workers cannot be with storage kafka; run the same pipeline on more machines instead"
            )
        super().__init__(Path(data), flow_control=flow_control, options=options, clock=clock)
        self._name = name
        self._troubles = Rarely(self._clock)
        self._crew = Crew(
            blueprint, workers, self._order_of, self._clock, opened=self._tell_again, told=self._life.tell_news
        )
        seats = self._crew.seats
        self._by_hand = ByHand(seats, KeptInFolder(self._folder.path, limits=self._flow_control.persist_overrides))
        self._roll_call = RollCall(seats, self._clock)
        self._owners = Workers(self._crew, self._by_hand, self._roll_call)
        self._intake = SpreadIntake(seats)
        self._has_folder = False
        self._supervisor = threading.Thread(target=self._supervise, name="penstock-supervisor", daemon=True)
        self._started = threading.Event()
        self._start_error: BaseException | None = None

    # -- life ---

    def start(self) -> Self:
        """Starts the workers and every task. Raises `PenstockError` and leaves nothing behind."""
        self._supervisor.start()
        self._started.wait()
        if self._start_error is not None:
            raise self._start_error
        return self

    def stop(self, *, drain: bool = True) -> None:
        if self._supervisor.is_alive() or self._started.is_set():
            self._life.ask_to_end(drain=drain)
            self._life.wait_ended()

    # -- supervision ---

    def _fail(self, text: str) -> None:
        self._life.fail(TaskFailedError(text))

    def _supervise(self) -> None:
        try:
            self._life.lead(self._run, self._close)
        finally:
            self._started.set()

    def _run(self) -> None:
        if self._begin():
            self._watch()
            self._end(drain=self._life.stop())

    def _close(self) -> None:
        self._crew.kill()
        self._folder.close()

    def _begin(self) -> bool:
        """False when nothing runs: who called `start` is told why, unless the end was wanted before the beginning."""
        try:
            self._bring_together()
        except PenstockError as error:
            if not (isinstance(error, GivenUpError) and self._life.is_stop_wanted):
                self._start_error = error
            return False
        self._life.begin()
        self._started.set()
        return True

    def _bring_together(self) -> None:
        """Fills all seats, however many die meanwhile. Returns early when a worker's own engine has failed."""
        while self._crew.has_lost and self._life.failure is None:
            try:
                self._crew.bring_together(self._claim_folder, self._pause, lambda: self._life.is_stop_wanted)
            except WorkerLost:
                # It may also have said last words: that is a run that fails, not a worker to be started again.
                for seat in self._crew.seats:
                    self._hear(seat)

    def _claim_folder(self, outline: Outline) -> int:
        """The lock of the data folder, which is opened the first time."""
        if not self._has_folder:
            self._folder.open(outline.name, outline.partitions, self._options.storage)
            self._by_hand.recall()
            self._has_folder = True
        return self._folder.lock

    def _order_of(self, seat: Seat) -> PartOrder:
        """What a worker is told when it opens its partitions, also after a restart."""
        standing = self._by_hand.standing()
        return PartOrder(
            worker=seat.number,
            share=seat.share,
            owners=self._crew.owners,
            data=self._folder.path,
            options=self._options,
            flow_control=self._flow_control,
            overrides=standing.overrides,
            paused=standing.paused,
            paces=standing.paces,
        )

    def _tell_again(self, seat: Seat) -> None:
        self._by_hand.tell_again(seat)

    def _watch(self) -> None:
        """Returns when everything is done, somebody wants the end, or the run has failed."""
        outline = self._crew.outline
        assert outline is not None, "the crew is loaded"
        bounded = bool(outline.sources) and not self._options.run_forever
        next_look_ns = next_history_ns = 0
        while True:
            self._life.wait_news(_LOOK_EVERY_NS / NS_PER_SECOND)
            for seat in self._crew.seats:
                self._hear(seat)
            if self._life.is_end_wanted:
                return
            if self._crew.has_lost:
                self._recover()
                continue
            # What is known of the workers, for the case that one dies.
            now_ns = self._clock.monotonic_ns()
            if now_ns >= next_look_ns:
                self._roll_call.snapshots()
                next_look_ns = now_ns + _LOOK_EVERY_NS
            if now_ns >= next_history_ns:
                self._roll_call.take_histories()
                next_history_ns = now_ns + _HISTORY_EVERY_NS
            if self._have_replayed() and bounded and self._is_done():
                return

    def _hear(self, seat: Seat) -> bool:
        """Takes a worker's last words, where it said any: its engine has ended, by a failure or because it was told."""
        process = seat.process
        if process is None or process.ended is None:
            return False
        seat.take(process.ended.snapshot)
        if process.ended.failure is not None:
            self._fail(process.ended.failure)
        return True

    def _have_replayed(self) -> bool:
        """Whether no rejects are left that were set out; those that all workers have tried again are deleted."""
        try:
            return self._delete_replayed()
        except OSError as error:
            if (count := self._troubles.more()) is not None:
                log.warning("rejects cannot be looked at just now: %s%s", error, and_more(count))
            return False

    def _delete_replayed(self) -> bool:
        replays = self._rejects.replays()
        if not replays:
            return True
        standings: list[ReplayStanding | None] = self._roll_call.of_all("replay_standing")
        known = [standing for standing in standings if standing is not None]
        if len(known) < len(standings):
            return False
        for replay in replays:
            if all(replay.path.name in standing.tried for standing in known):
                self._rejects.done(replay)
                log.warning("all rejects of %s were tried again", replay.culprit)
        names = {replay.path.name for replay in self._rejects.replays()}
        return names <= frozenset().union(*(standing.strange for standing in known))

    def _is_done(self) -> bool:
        """Nothing is on its way anywhere: seen twice with nothing written between, for partitions talk."""
        looks: list[list[tuple[int, ...]]] = []
        for _ in range(2):
            reports: list[PartReport | None] = self._roll_call.of_all("report")
            if not all(report is not None and report.is_done for report in reports):
                return False
            looks.append([report.last_written for report in reports if report is not None])
        return looks[0] == looks[1]

    def _recover(self) -> None:
        """Starts those again who died, and then all fronts together; where that cannot be, the run ends."""
        if self._options.storage == "memory":
            self._fail(f"{self._crew.bury()}, and with it the partitions that it had in memory")
            return
        try:
            self._bring_together()
        except GivenUpError as error:
            if not self._life.is_stop_wanted:
                self._fail(str(error))
        except PenstockError as error:
            self._fail(f"a worker cannot start again: {error}")

    def _pause(self, ns: int) -> None:
        with self._life.changed:
            self._life.changed.wait_for(lambda: self._life.is_stop_wanted, ns / NS_PER_SECOND)

    def _end(self, *, drain: bool) -> None:
        """Lets every worker end its share, all at the same time: what one still sends another still takes."""
        for seat in self._crew.seats:
            if seat.is_open:
                seat.call("end", drain)
        deadline_ns = self._clock.monotonic_ns() + self._options.drain_timeout_ns + _END_GRACE_NS
        halted = False
        while remaining := [seat for seat in self._crew.seats if seat.process is not None]:
            self._life.wait_news(_END_LOOK_SECONDS)
            for seat in remaining:
                if seat.process is None or not seat.process.is_gone:
                    continue
                if not self._hear(seat) and not halted:
                    # Who died sends nothing more, not even that nothing more will come.
                    halted = True
                    for other in remaining:
                        other.call("halt")
                seat.process.reap()
                seat.emptied(self._clock.wall_ns())
            if self._clock.monotonic_ns() >= deadline_ns:
                log.warning("workers have not ended in time; what they had goes on in the next run")
                return

    # -- the door ---

    def snapshot(self) -> EngineSnapshot:
        """Everything an outsider may see, at this moment; of a worker that is dead or silent, what was last known."""
        known = self._roll_call.snapshots()
        outline = self._crew.outline
        whole = replace(
            self._seen_from_here(self._name if outline is None else outline.name),
            workers=tuple(seat.snapshot() for seat in self._crew.seats),
        )
        # Some workers' partitions alone would look like all.
        return whole if whole.state is EngineState.STARTING else merged(whole, known)

    def write(self, values: Sequence[Any], *, partition: int | None = None) -> Written | Refusal:
        check_takes_records(self._life.state)
        return self._intake.write(values, partition=partition)
