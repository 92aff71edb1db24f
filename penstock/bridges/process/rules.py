"""What a thread is doing, by the functions on top of its stack: held back, idle, or busy.

A rule is written as FUNCTION@FILE: `Queue.put@queue.py`. Either may hold `*`; a file may have folders in front of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.backpressure.window import Verdict
from engine.core.errors import ConfigurationError

# Frames looked at, from the innermost: a wait of the standard library puts one to three on top of its caller.
DEPTH = 4

# What hands on and cannot.
HELD = (
    "Queue.put@queue.py",
    "Queue.put@multiprocessing/queues.py",
    "Queue.put@billiard/queues.py",
    "Connection._send@multiprocessing/connection.py",
    "Connection._send_bytes@multiprocessing/connection.py",
    "SocketIO.write@socket.py",
    "SSLSocket.send@ssl.py",
    "SSLSocket.sendall@ssl.py",
    "Semaphore.acquire@threading.py",
    "Future.result@concurrent/futures/_base.py",
)
# What waits for something to do.
IDLE = (
    "Queue.get@queue.py",
    "Queue.get@multiprocessing/queues.py",
    "SimpleQueue.get@multiprocessing/queues.py",
    "Queue.get@billiard/queues.py",
    "Connection._recv*@multiprocessing/connection.py",
    "Connection._poll@multiprocessing/connection.py",
    "wait@multiprocessing/connection.py",
    "SocketIO.readinto@socket.py",
    "socket.accept@socket.py",
    "SSLSocket.read@ssl.py",
    "SSLSocket.recv*@ssl.py",
    "*Selector.select@selectors.py",
    "_worker@concurrent/futures/thread.py",
    "Event.wait@threading.py",
    "Thread.join@threading.py",
    "Thread._wait_for_tstate_lock@threading.py",
    # Celery: a prefork worker, and the consumer's loop.
    "Worker.wait_for_job@billiard/pool.py",
    "*poll@kombu/utils/eventio.py",
    "*.drain_events@kombu/transport/*.py",
)
# Who waits for an answer to what it asked works: its own time outside is its own.
BUSY = (
    "_WorkItem.run@concurrent/futures/thread.py",
    "HTTP*@http/client.py",
    "*@urllib3/connectionpool.py",
    "*@httpcore/*.py",
    "Connection.*@psycopg/*.py",
)
# Files of the standard library and its like in which a wait ends up. Behind any other frame the default rules do not
# look: what a pool's worker calls is not the worker's waiting.
_HELPERS = (
    "threading.py", "queue.py", "selectors.py", "socket.py", "ssl.py", "http/client.py", "urllib3/*.py",
    "httpcore/*.py", "httpcore/*/*.py", "multiprocessing/*.py", "concurrent/futures/*.py", "billiard/*.py",
    "kombu/*.py", "kombu/*/*.py", "psycopg/*.py",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """A function on a stack, and the end of its file's path."""

    function: str
    file: str


@dataclass(frozen=True, slots=True)
class _Rule:
    function: str
    file: str
    verdict: Verdict

    def fits(self, frame: Frame) -> bool:
        file = frame.file
        if not _is_in(file, self.file):
            return False
        # Before Python 3.11 a stack says `put`, not `Queue.put`.
        wanted = self.function if "." in frame.function else self.function.rpartition(".")[2]
        return fnmatchcase(frame.function, wanted)


def _is_in(file: str, pattern: str) -> bool:
    return fnmatchcase(file, pattern) or fnmatchcase(file, f"*/{pattern}")


def _is_helper(frame: Frame) -> bool:
    return any(_is_in(frame.file, pattern) for pattern in _HELPERS)


class Rules:
    """The default rules, with those of the user in front. Raises `ConfigurationError` for one that cannot be read."""

    def __init__(self, *, held: Iterable[str] = (), idle: Iterable[str] = (), busy: Iterable[str] = ()) -> None:
        self._own = _rules((held, Verdict.BLOCKED), (idle, Verdict.IDLE), (busy, Verdict.BUSY))
        self._defaults = _rules((BUSY, Verdict.BUSY), (HELD, Verdict.BLOCKED), (IDLE, Verdict.IDLE))

    def verdict(self, stack: Sequence[Frame]) -> Verdict:
        """Of a stack, innermost first: the first rule that fits one of its frames decides; without one it is busy."""
        top = stack[:DEPTH]
        # Up to the first frame outside of the helpers, which is one in which a wait may stand too.
        deep = 1 + next((n for n, frame in enumerate(top) if not _is_helper(frame)), len(top))
        for rules, frames in ((self._own, top), (self._defaults, top[:deep])):
            for rule in rules:
                if any(rule.fits(frame) for frame in frames):
                    return rule.verdict
        return Verdict.BUSY


def _rules(*groups: tuple[Iterable[str], Verdict]) -> list[_Rule]:
    return [_rule(written, verdict) for texts, verdict in groups for written in texts]


def _rule(written: str, verdict: Verdict) -> _Rule:
    function, at, file = written.partition("@")
    if not (function and at and file):
        raise ConfigurationError(f"{written!r} is no rule; write FUNCTION@FILE, such as Queue.put@queue.py")
    return _Rule(function, file, verdict)
