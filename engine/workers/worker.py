"""A worker process from the inside: does what the parent asks, and ends when the parent is gone."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.core.errors import ConfigurationError, PenstockError, TaskFailedError
from engine.pipeline import PipelineDescription
from engine.runtime.wiring import check
from engine.workers.blueprint import Blueprint, Outline
from engine.workers.control import Call, CaughtUp, ControlConnection, Ended, Reply
from engine.workers.part import Part, PartOrder, Progress
from engine.workers.process import WorkerLost

log = logging.getLogger("penstock.worker")

# The exit code of a worker whose parent is gone; nobody is left to read it.
_ORPHANED = 1
_PR_SET_PDEATHSIG = 1
# Writes from outside wait for their commits; this many share them.
_WRITERS_MAX = 16

# What is answered at once, on the thread that listens: none of it waits for anything.
_LOOKS = frozenset(
    {
        "snapshot",
        "report",
        "replay_standing",
        "look_at_back_pressure",
        "sample_back_pressure",
        "flow_settings",
        "flow_overrides",
        "request_limiter_states",
        "throttling_episodes",
        "limit_changes",
        "set_exporter_pause",
        "pace_exporter",
    }
)
# What waits for commits, and not for one another.
_WRITES = frozenset({"write", "partitions_of", "reserve", "write_reserved", "give_back", "set_overrides"})


class Worker:
    """Serves one connection. The main thread listens; orders that take their time are done on another, one by one.

    A call names a method: of the engine for looks and writes, of this class (`order_…`) for everything else.
    """

    def __init__(self, control: ControlConnection) -> None:
        self._control = control
        self._orders = ThreadPoolExecutor(1, thread_name_prefix="penstock-orders")
        self._writers = ThreadPoolExecutor(_WRITERS_MAX, thread_name_prefix="penstock-writes")
        self._pipeline: PipelineDescription | None = None
        self._part: Part | None = None
        # The data folder's lock; it is held for as long as this process lives.
        self._lock: int | None = None
        self._has_ended = threading.Event()

    def serve(self) -> None:
        """Returns when the share has ended and the parent knows; a parent that is gone before ends the process."""
        while True:
            try:
                call, descriptors = self._control.receive()
            except EOFError:
                if not self._has_ended.is_set():
                    # Whatever is acknowledged is durable, as after a crash; there is nothing to save.
                    os._exit(_ORPHANED)
                return
            self._take(call, descriptors)

    def _take(self, call: Call, descriptors: list[int]) -> None:
        def ask_part() -> Any:
            return getattr(self._open_part(), call.method)(*call.arguments, **call.keywords)

        if call.method in _LOOKS:
            self._answer(call, ask_part)
        elif call.method in _WRITES:
            self._writers.submit(self._answer, call, ask_part)
        else:
            order: Callable[..., Any] = getattr(self, f"order_{call.method}")
            self._orders.submit(self._answer, call, lambda: order(*call.arguments, *descriptors))

    def _answer(self, call: Call, act: Callable[[], Any]) -> None:
        try:
            reply = Reply(call.number, value=act())
        except PenstockError as error:
            reply = Reply(call.number, error=error)
        except Exception as error:
            log.exception("%s failed", call.method)
            reply = Reply(call.number, error=PenstockError(f"{call.method} failed: {type(error).__name__}: {error}"))
        self._tell(reply)

    def _tell(self, message: object) -> None:
        try:
            self._control.send(message)
        except OSError:
            # The thread that listens learns the same, and acts on it.
            log.debug("the parent is gone")

    def _open_part(self) -> Part:
        if self._part is None:
            # As good as dead to who asks: it came after one that died, and is not ready yet.
            raise WorkerLost("the worker has not opened its partitions")
        return self._part

    # -- orders ---

    def order_load(self, blueprint: Blueprint) -> Outline:
        """Imports the pipeline and checks it."""
        try:
            self._pipeline = blueprint.build()
        except PenstockError:
            raise
        except Exception as error:
            # User code, at its import or in the function that makes the pipeline.
            log.exception("%s cannot be made", blueprint.reference)
            raise ConfigurationError(
                f"{blueprint.reference} gives no pipeline: {type(error).__name__}: {error}"
            ) from error
        check(self._pipeline)
        return Outline.of(self._pipeline)

    def order_open(self, order: PartOrder, lock: int) -> Progress:
        """Opens the partitions and starts all behind the log."""
        assert self._pipeline is not None, "a pipeline is loaded first"
        assert self._lock is None, "partitions are opened once: who opened them again would write over what runs there"
        self._lock = lock
        part = Part(self._pipeline, order, caught_up=lambda: self._tell(CaughtUp()))
        part.start()
        self._part = part
        threading.Thread(target=self._await_end, args=(part,), name="penstock-last-words").start()
        return part.progress()

    def order_connect(self, worker: int, descriptor: int) -> None:
        self._open_part().connect(worker, socket.socket(fileno=descriptor))

    def order_prepare(self, epoch: int, progress: Progress) -> None:
        self._open_part().prepare(epoch, progress)

    def order_flow(self) -> None:
        self._open_part().flow()

    def order_halt(self) -> Progress:
        return self._open_part().halt()

    def order_end(self, drain: bool) -> None:
        """Begins the end; what became of it are the last words."""
        part = self._open_part()
        threading.Thread(target=part.stop, kwargs={"drain": drain}, name="penstock-stop", daemon=True).start()

    def _await_end(self, part: Part) -> None:
        failure = None
        try:
            part.wait()
        except TaskFailedError as error:
            failure = str(error)
        self._has_ended.set()
        self._tell(Ended(failure, part.snapshot()))


def main(descriptor: int) -> None:
    """The life of a worker process; `descriptor` is its end of the control connection."""
    os.set_inheritable(descriptor, False)
    # A terminal's Ctrl-C and a service manager's SIGTERM reach all processes; the parent alone acts on them. A handler
    # that does nothing, for what is ignored would be ignored by the programs that user code starts, too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    _die_with_parent()
    Worker(ControlConnection(socket.socket(fileno=descriptor))).serve()
    # All that is still there goes with the process. Without this the interpreter would first look through it for what
    # nobody refers to, which took most of the time that a run needed to end.
    gc.freeze()


def _die_with_parent() -> None:
    """Linux ends this process with its parent, even while user code keeps all other threads from running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
