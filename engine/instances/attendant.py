"""Who looks after one partition in this instance: opens it when it belongs here, closes it when it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Lock, Thread
from typing import Protocol

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import PartitionLostError, PenstockError, TaskFailedError
from engine.core.rarely import Rarely, and_more
from engine.core.snapshot import ClosedSnapshot, PartitionState
from engine.instances.tenant import Tenant
from engine.log.storage import CONCERNING_ALL, StorageError

log = logging.getLogger("penstock.instances")

# How long before an opening that came to nothing is tried again.
_AGAIN_SECONDS = 1.0


class House(Protocol):
    """The instance as its attendants see it. Their threads call it, each for its own partition."""

    def lease(self, number: int, ended: Callable[[], None]) -> Tenant:
        """Somebody to be opened."""
        ...

    def opened(self, tenant: Tenant) -> None:
        """It runs: writers may come."""
        ...

    def leaving(self, tenant: Tenant) -> None:
        """It says its last words, and then is seen no more."""
        ...

    def closing(self, tenant: Tenant) -> None:
        """It is about to be closed, or has ended by itself: nobody comes any more."""
        ...

    def closed(self, number: int, *, has_right: bool) -> None:
        """Nothing of it is open any more."""
        ...

    def failed(self, number: int, failure: BaseException, position: int | None) -> None:
        """It stands still; where the policy of the pipeline says so, all of it does."""
        ...


class Attendant:
    """A thread for one partition. One life after the other: what begins a new one waits for the end of the last.

    Any thread may call it. `give`, `take` and `wait_closed` are for the one that is told who owns what.
    """

    def __init__(self, number: int, house: House, clock: Clock, *, patience_ns: int) -> None:
        """Who was told by the log that another instance writes waits for `patience_ns` to be told so by the group."""
        self._number = number
        self._house = house
        self._clock = clock
        self._patience_ns = patience_ns
        self._changed = Condition(Lock())
        # Guarded by _changed.
        self._is_wanted = False
        # Whether the life that goes on is to end, also where the next one is wanted already.
        self._is_leaving = False
        # Whether one goes on, from before it is made until all of it is closed.
        self._is_living = False
        self._is_over = False
        self._has_right = True
        # How often it was given or told to try again: whoever waits for that sees it.
        self._gifts = 0
        self._state: PartitionState | None = None
        self._since_wall_ns = clock.wall_ns()
        self._why: str | None = None
        self._tenant: Tenant | None = None
        self._troubles = Rarely(clock)
        self._thread = Thread(target=self._run, name=f"penstock-partition/{number}", daemon=True)
        self._thread.start()

    # -- what it is told ---

    def give(self) -> None:
        """The partition belongs here."""
        with self._changed:
            self._is_wanted = True
            self._gifts += 1
            if self._state in (None, PartitionState.FAILED):
                self._be(PartitionState.OPENING)
            self._changed.notify_all()

    def take(self, *, has_right: bool) -> None:
        """It belongs elsewhere, or soon will. Without the right to write it is closed as it stands."""
        with self._changed:
            self._is_wanted, self._is_leaving = False, True
            self._has_right = self._has_right and has_right
            tenant = self._tenant
            if not self._is_living:
                self._be(None)
            self._changed.notify_all()
        if tenant is not None:
            tenant.leave(has_right=has_right)

    def wait_closed(self, seconds: float) -> bool:
        """After `take`: whether nothing of it is open any more."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state is None or self._is_wanted, max(0.0, seconds))

    def retry(self) -> bool:
        """Lets a partition that has failed try again; False where it has not."""
        with self._changed:
            if not (self._is_wanted and self._state is PartitionState.FAILED):
                return False
            self._gifts += 1
            self._be(PartitionState.OPENING)
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """No more lives; the one that is there is taken."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    # -- what is seen of it ---

    @property
    def tenant(self) -> Tenant | None:
        """While its partition runs."""
        with self._changed:
            return self._tenant if self._state is PartitionState.RUNNING else None

    @property
    def since_wall_ns(self) -> int:
        return self._since_wall_ns

    def seen(self) -> ClosedSnapshot | None:
        """Where it is between two lives; None while it runs, and where it does not belong here."""
        with self._changed:
            state, why, since, tenant = self._state, self._why, self._since_wall_ns, self._tenant
        if state in (None, PartitionState.RUNNING):
            return None
        opening = tenant.opening() if tenant is not None and state is PartitionState.OPENING else None
        return ClosedSnapshot(
            partition=self._number,
            state=state if opening is None else opening.state,
            cluster=None if opening is None else opening.cluster,
            since_wall_ns=since,
            why=why,
        )

    def _be(self, state: PartitionState | None, why: str | None = None) -> None:
        """With the lock in hand."""
        if state is not self._state:
            self._since_wall_ns = self._clock.wall_ns()
        self._state, self._why = state, why
        self._changed.notify_all()

    # -- lives ---

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_over or (self._is_wanted and self._state is PartitionState.OPENING)
                )
                if self._is_over:
                    return
                self._has_right, self._is_leaving, self._is_living = True, False, True
            self._live()

    def _live(self) -> None:
        number = self._number
        tenant = None
        try:
            tenant = self._house.lease(number, self._tell)
            with self._changed:
                self._tenant = tenant
                is_leaving, has_right = self._is_leaving, self._has_right
            if is_leaving:
                tenant.leave(has_right=has_right)
            tenant.start()
        except BaseException as error:
            self._could_not_open(error)
            return
        with self._changed:
            is_leaving = self._is_leaving
            if not is_leaving:
                self._be(PartitionState.RUNNING)
        if not is_leaving:
            self._house.opened(tenant)
            with self._changed:
                self._changed.wait_for(lambda: self._is_leaving or tenant.has_ended)
        try:
            self._house.leaving(tenant)
        except Exception:
            log.exception("partition %d: its last words could not be heard; it is closed all the same", self._number)
        with self._changed:
            self._be(PartitionState.CLOSING)
        self._house.closing(tenant)
        tenant.stop(drain=False)
        self._ended(tenant.failure, tenant)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _over(self, state: PartitionState | None, why: str | None = None) -> bool:
        """The end of a life; the next state where the partition still belongs here. True where it does."""
        with self._changed:
            self._tenant = None
            has_right = self._has_right
        self._house.closed(self._number, has_right=has_right)
        with self._changed:
            is_wanted, self._is_living = self._is_wanted, False
            self._be(state if is_wanted else None, why if is_wanted else None)
            return is_wanted

    def _could_not_open(self, error: BaseException) -> None:
        cause = error.__cause__
        passes = isinstance(cause, StorageError) and cause.reason in CONCERNING_ALL
        if self._is_leaving or passes:
            # Broken off; or nobody answers, or somebody else opened it at the same time.
            if self._over(PartitionState.OPENING, str(error)) and not self._is_leaving:
                if (count := self._troubles.more()) is not None:
                    log.warning("%s; it is tried again%s", error, and_more(count))
                self._wait_unless_told(int(_AGAIN_SECONDS * NS_PER_SECOND))
            return
        if not isinstance(error, PenstockError):
            log.error("partition %d cannot be opened", self._number, exc_info=error)
        self._fail(error, None)

    def _ended(self, failure: TaskFailedError | None, tenant: Tenant) -> None:
        if failure is None:
            # Taken; or given again meanwhile.
            self._over(PartitionState.OPENING)
        elif isinstance(failure.__cause__, PartitionLostError):
            with self._changed:
                self._has_right = False
                gifts = self._gifts
            log.warning("%s", failure.__cause__)
            if self._over(PartitionState.OPENING, str(failure.__cause__)):
                # The group will say so too, or it was wrong, and nobody opens it but us.
                self._wait_unless_told(self._patience_ns, gifts)
        else:
            self._fail(failure, tenant.partition.processed + 1)

    def _fail(self, error: BaseException, position: int | None) -> None:
        log.error("partition %d has failed and stands still: %s", self._number, error)
        if self._over(PartitionState.FAILED, str(error)):
            self._house.failed(self._number, error, position)

    def _wait_unless_told(self, ns: int, gifts: int | None = None) -> None:
        with self._changed:
            before = self._gifts if gifts is None else gifts
            self._changed.wait_for(
                lambda: self._is_over or not self._is_wanted or self._gifts != before, ns / NS_PER_SECOND
            )
