"""One worker process as its parent sees it."""

from __future__ import annotations

import json
import logging
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from engine.core.errors import PenstockError
from engine.workers.control import Call, CaughtUp, ControlConnection, Ended, Reply

log = logging.getLogger("penstock.worker")

_BEGINNING = Path(__file__).with_name("__main__.py")
# How long a process may take to leave after its last words.
_EXIT_SECONDS = 5.0


class WorkerLost(PenstockError):
    """The process ended while it was asked something, or before; or it has not opened its partitions yet."""


class WorkerProcess:
    """From its start to its end; any thread may ask it. `told` is called when there is news: it has caught up, its last
    words, or its death.

    Start it from a thread that lives as long as it should: Linux ends it with the thread that started it.
    """

    def __init__(self, worker: int, told: Callable[[], None]) -> None:
        """Starts it. Raises `PenstockError` with one sentence where the system does not."""
        self.worker = worker
        self._told = told
        self._numbers = count(1)
        self._lock = threading.Lock()
        # Guarded by the lock: calls without an answer, and whether answers can still come.
        self._calls: dict[int, Future[Any]] = {}
        self._is_gone = False
        self._has_left = threading.Event()
        # Its last words, once it said them.
        self.ended: Ended | None = None
        # What went wrong in our own code, there or in reading what it said.
        self._broken: str | None = None
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", str(_BEGINNING), str(theirs.fileno()), json.dumps(sys.path)]
            try:
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
            except OSError as error:
                ours.close()
                raise PenstockError(f"worker {worker} cannot be started: {sys.executable}: {error.strerror}") from error
        self._control = ControlConnection(ours)
        threading.Thread(target=self._listen, name=f"penstock-worker-{worker}", daemon=True).start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether it will never answer again."""
        return self._is_gone

    def call(self, method: str, *arguments: Any, descriptors: Sequence[int] = (), **keywords: Any) -> Future[Any]:
        """Asks; the answer, or the error it ended with, comes by the future. `WorkerLost` when none can come."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._lock:
            if self._is_gone:
                future.set_exception(self._lost())
                return future
            self._calls[number] = future
        try:
            self._control.send(Call(number, method, arguments, keywords), descriptors)
        except OSError:
            # Who listens learns it too, and ends all calls.
            self._control.close()
        return future

    def _lost(self) -> WorkerLost:
        return WorkerLost(f"worker {self.worker} is gone")

    def _listen(self) -> None:
        try:
            while True:
                message, _ = self._control.receive()
                match message:
                    case Reply():
                        self._answered(message)
                    case CaughtUp():
                        self._told()
                    case (str(why), str(trace)):
                        self._broken = why
                        log.debug("worker %d: %s", self.worker, trace)
                        break
                    case _:
                        assert isinstance(message, Ended), "a worker answers, and says when it ends"
                        self.ended = message
                        break
        except EOFError:
            pass
        except (ImportError, AttributeError, TypeError, pickle.UnpicklingError) as error:
            self._broken = f"{type(error).__name__} in what it said: {error}"
            log.debug("worker %d cannot be understood", self.worker, exc_info=True)
            self.kill()
        finally:
            self._control.close()
            with self._lock:
                self._is_gone = True
                unanswered, self._calls = self._calls, {}
            for future in unanswered.values():
                future.set_exception(self._lost())
            self._told()
            # A wait without a limit returns at once when the process leaves; one with a limit looks now and then.
            self._process.wait()
            self._has_left.set()

    def _answered(self, reply: Reply) -> None:
        with self._lock:
            future = self._calls.pop(reply.number)
        if reply.error is not None:
            future.set_exception(reply.error)
        else:
            future.set_result(reply.value)

    def kill(self) -> None:
        """Ends it at once. It loses nothing that it ever acknowledged."""
        if self._process.poll() is None:
            self._process.kill()

    def reap(self) -> str:
        """Waits until a process that is gone has left the system, and says how it ended."""
        if not self._has_left.wait(_EXIT_SECONDS):
            self._process.kill()
            self._has_left.wait()
        if self._broken is not None:
            return f"failed in Penstock's own code ({self._broken}; were its files replaced during the run?)"
        code = self._process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
