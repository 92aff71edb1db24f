"""The life of an engine: where it is, why it ended, and what wakes the thread that leads it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Event

from engine.core.errors import TaskFailedError
from engine.core.interruptible import wait_for
from engine.core.snapshot import EngineState

log = logging.getLogger("penstock.engine")


class Life:
    """Any thread may look, bring news, ask for the end and say a failure; one, the supervisor's, leads it."""

    def __init__(self) -> None:
        # Guards all of it and tells of every change.
        self.changed = Condition()
        self.state = EngineState.STARTING
        self.failure: TaskFailedError | None = None
        # An input that ends too early: the run fails by it once all that came before has got through.
        self.damage: TaskFailedError | None = None
        self.is_stop_wanted = False
        self._drains = True
        self._has_news = False
        self._ended = Event()

    # -- for everybody ---

    @property
    def is_end_wanted(self) -> bool:
        return self.is_stop_wanted or self.failure is not None

    def tell_news(self) -> None:
        """There is something for the supervisor to look at."""
        with self.changed:
            self._has_news = True
            self.changed.notify_all()

    def ask_to_end(self, *, drain: bool = True) -> None:
        with self.changed:
            self.is_stop_wanted = True
            self._drains = self._drains and drain
            self.changed.notify_all()

    def fail(self, failure: TaskFailedError) -> None:
        """The first failure counts: those behind it mostly come of it."""
        with self.changed:
            self.failure = self.failure or failure
            self.changed.notify_all()

    def damaged(self, damage: TaskFailedError) -> None:
        with self.changed:
            self.damage = self.damage or damage
            self.changed.notify_all()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def wait_ended(self, timeout: float | None = None) -> bool:
        """False when `timeout` seconds passed before."""
        return wait_for(self._ended, timeout)

    # -- for the one who leads it ---

    def begin(self) -> None:
        """It runs from now on, unless somebody wants the end already."""
        with self.changed:
            if not self.is_stop_wanted:
                self.state = EngineState.RUNNING

    def wait_news(self, seconds: float) -> None:
        """Returns when there are news, or after a while; before its end begins, also when that is wanted."""
        with self.changed:
            is_called = self.is_end_wanted and self.state is not EngineState.STOPPING
            if not (self._has_news or is_called):
                self.changed.wait(seconds)
            self._has_news = False

    def stop(self) -> bool:
        """Its end begins; whether what is under way shall be finished first."""
        with self.changed:
            self.state = EngineState.STOPPING
            return self._drains and self.failure is None

    def lead(self, run: Callable[[], None], close: Callable[[], None]) -> None:
        """The rest of a life that has begun: `run` returns when it is over, `close` leaves nothing behind."""
        try:
            run()
        except BaseException as error:
            log.exception("the supervisor failed")
            self.fail(TaskFailedError(f"the engine failed: {error!r}"))
        finally:
            try:
                close()
            finally:
                self.end()

    def end(self) -> None:
        with self.changed:
            self.failure = self.failure or self.damage
            self.state = EngineState.FINISHED if self.failure is None else EngineState.FAILED
        self._ended.set()
