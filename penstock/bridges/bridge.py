"""The life that all bridges share: a thread that looks at something else, again and again, and what is told of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from logging import Logger
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from engine.core.clock import NS_PER_SECOND, Clock, SystemClock
from engine.core.identity import stable_id
from engine.core.rarely import Rarely, and_more
from engine.core.snapshot import BridgeSnapshot, EngineSnapshot, EngineState, Origin
from exporter.catalogue import LOOK_ERRORS
from penstock.bridges.asking import LookError
from penstock.bridges.door import WithoutFlowControl

# A look that takes longer is given up, and what it should have brought is unknown.
LOOK_SECONDS_MAX = 60
_STATES = {None: EngineState.STARTING, True: EngineState.RUNNING, False: EngineState.FAILED}


class Bridge(WithoutFlowControl, ABC):
    """To the exporter an engine that is as the last look found it.

    A kind of bridge says how it looks, and what of that is shown. Nothing is shown of what a look did not bring: one
    that fails leaves the bare bridge. `start` and `stop` are for one thread, `look` for one at a time; everything else
    may be called from any.
    """

    # Nothing is stored.
    data_folder = None

    def __init__(self, name: str, origin: Origin, *, interval_ns: int, clock: Clock | None, log: Logger) -> None:
        """`name` is the pipeline under which it tells of itself."""
        self._name = name
        self._origin = origin
        self._interval_ns = interval_ns
        self._clock = clock or SystemClock()
        self._log = log
        self._rarely = Rarely(self._clock)
        self._began_wall_ns = self._clock.wall_ns()
        # By the looking thread alone.
        self._looks = 0
        self._succeeded_wall_ns: int | None = None
        self._lock = Lock()
        # Guarded by the lock; what is told is replaced as a whole.
        self._errors: Counter[str] = Counter(dict.fromkeys(LOOK_ERRORS, 0))
        self._told = self._bare(is_up=None, look_ns=None, problem=None)
        self._stopping = Event()
        self._thread: Thread | None = None

    # -- what a kind of bridge does ---

    @property
    @abstractmethod
    def shown(self) -> str:
        """What is looked at, without what nobody may see."""

    @abstractmethod
    def _look(self) -> str:
        """Asks for everything and keeps it. Returns what answered, in a few words; raises `LookError`."""

    @abstractmethod
    def _filled(self, bare: EngineSnapshot) -> EngineSnapshot:
        """With what the last look brought."""

    def _forget(self) -> None:
        """Lets go of what only looks one after the other can tell: one of them failed."""

    def _interrupt(self) -> None:
        """Cuts a look that is under way; from the thread that stops."""

    def _ended(self) -> None:
        """Lets go of what looks need; nobody looks any more."""

    def _pause_ns(self, took_ns: int) -> int:
        """Until the next look. Who is slow to answer is asked at most half of the time."""
        return max(self._interval_ns - took_ns, took_ns)

    # -- life ---

    def start(self) -> Self:
        assert self._thread is None, "started once"
        self._thread = Thread(target=self._run, name="penstock-bridge", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Looks no more. May be repeated."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._interrupt()
        if self._thread is not None:
            self._thread.join(LOOK_SECONDS_MAX)
        self._ended()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_ns = self._clock.monotonic_ns()
            self.look()
            self._stopping.wait(self._pause_ns(self._clock.monotonic_ns() - began_ns) / NS_PER_SECOND)

    # -- looking ---

    def look(self) -> bool:
        """One look at everything, and whether it succeeded. Never raises: what went wrong is told by the snapshot."""
        began_ns = self._clock.monotonic_ns()
        self._looks += 1
        try:
            answered = self._look()
            self._succeeded_wall_ns = self._clock.wall_ns()
            look_ns = self._clock.monotonic_ns() - began_ns
            told = self._filled(self._bare(is_up=True, look_ns=look_ns, problem=None))
        except LookError as error:
            self._failed(error, began_ns)
            return False
        except Exception as error:
            # Ours: the next look is another try, and nothing old is shown meanwhile.
            self._log.exception("a look at %s failed", self.shown)
            unread = LookError("malformed", f"{self.shown} could not be read: {type(error).__name__}")
            self._failed(unread, began_ns)
            return False
        if self.snapshot().state is not EngineState.RUNNING:
            self._log.info("%s answers: %s", self.shown, answered)
        self._tell(told)
        return True

    def _failed(self, error: LookError, began_ns: int) -> None:
        if self._stopping.is_set():
            # It was cut.
            return
        self._missed(error)
        count = self._rarely.more()
        if count is not None:
            self._log.warning("%s; nothing is shown of it%s", error, and_more(count))
        self._forget()
        self._tell(self._bare(is_up=False, look_ns=self._clock.monotonic_ns() - began_ns, problem=str(error)))

    def _missed(self, error: LookError) -> None:
        """Counts an answer that was not given; from any thread. What is gone at the top is the wrong address."""
        with self._lock:
            self._errors["status" if error.is_gone else error.reason] += 1

    # -- what is told ---

    def snapshot(self) -> EngineSnapshot:
        with self._lock:
            return self._told

    def _tell(self, told: EngineSnapshot) -> None:
        with self._lock:
            self._told = told

    def _bare(self, *, is_up: bool | None, look_ns: int | None, problem: str | None) -> EngineSnapshot:
        """Of the bridge alone."""
        return EngineSnapshot(
            pipeline=self._name,
            job_id=stable_id(self._origin.bridge, self._name),
            state=_STATES[is_up],
            failure=problem,
            started_wall_ns=self._began_wall_ns,
            taken_wall_ns=self._clock.wall_ns(),
            taken_monotonic_ns=self._clock.monotonic_ns(),
            vertices=(),
            edges=(),
            partitions=(),
            tasks=(),
            origin=self._origin,
            bridge=BridgeSnapshot(
                is_up=is_up,
                looks=self._looks,
                errors=dict(self._errors),
                succeeded_wall_ns=self._succeeded_wall_ns,
                look_ns=look_ns,
                jobs={},
                omitted=0,
            ),
        )
