"""Who can be sampled: a task of the engine, any thread, any asyncio task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import Any, Protocol

from engine.backpressure.hindsight import Hindsight, times_of
from engine.backpressure.markers import Look, Markers
from engine.core.errors import ConfigurationError
from engine.core.snapshot import TaskStatus
from engine.tasks.subtask import Subtask
from engine.tasks.transitions import Transitions

# Stacks by thread, as `sys._current_frames()` gives them.
Frames = Mapping[int, FrameType]

_RUNNING = TaskStatus.RUNNING
# Coroutines that await one another; longer chains are recursion gone wild.
_CHAIN_MAX = 200


class Subject(Protocol):
    """Something with a stack. The sampler's thread alone looks; `is_over` may be asked from any."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended and will never be seen again."""
        ...

    @property
    def transitions(self) -> Transitions | None:
        """When it entered its last states, newest last; None where nobody keeps that."""
        ...

    @property
    def hindsight(self) -> Hindsight | None:
        """What judges a late look where there are no transitions; None where a look is never late for its own sake."""
        ...

    def look(self, frames: Frames) -> Look | None:
        """What its stack shows; None while it does not run."""
        ...


class SubtaskSubject:
    """A task of the engine, which keeps its own transitions."""

    __slots__ = ("_look_at_frames", "_subtask", "hindsight", "transitions")

    def __init__(self, subtask: Subtask, markers: Markers) -> None:
        self._subtask = subtask
        self._look_at_frames = markers.look_at_frames
        self.transitions: Transitions | None = subtask.timer.transitions
        self.hindsight: Hindsight | None = None

    @property
    def is_over(self) -> bool:
        return self._subtask.is_over

    def look(self, frames: Frames) -> Look | None:
        subtask = self._subtask
        # Asked first: the number of a thread that has ended may be given to another one.
        if subtask.status is not _RUNNING or subtask.thread is None:
            return None
        frame = frames.get(subtask.thread.ident or 0)
        return None if frame is None else self._look_at_frames(frame)


class ThreadSubject:
    """Any thread of this process. Raises `ConfigurationError` for one that does not run."""

    __slots__ = ("_markers", "_thread", "hindsight", "transitions")

    def __init__(self, thread: threading.Thread, markers: Markers) -> None:
        if thread.ident is None:
            raise ConfigurationError(f"thread {thread.name!r} has not started; only a running one can be watched")
        if not thread.is_alive():
            raise ConfigurationError(f"thread {thread.name!r} has ended; only a running one can be watched")
        self._thread = thread
        self._markers = markers
        self.transitions: Transitions | None = None
        self.hindsight: Hindsight | None = Hindsight(times_of(thread))

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def look(self, frames: Frames) -> Look | None:
        if not self._thread.is_alive():
            return None
        frame = frames.get(self._thread.ident or 0)
        return None if frame is None else self._markers.look_at_frames(frame)


class CoroutineSubject:
    """Any asyncio task; a thread other than its loop's may look. Raises `ConfigurationError` for one that is done."""

    __slots__ = ("_markers", "_task", "hindsight", "transitions")

    def __init__(self, task: asyncio.Task[Any], markers: Markers) -> None:
        if task.done():
            raise ConfigurationError(f"task {task.get_name()!r} has ended; only a running one can be watched")
        self._task = task
        self._markers = markers
        self.transitions: Transitions | None = None
        self.hindsight: Hindsight | None = Hindsight(mark=lambda: getattr(task, "_fut_waiter", None))

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def look(self, frames: Frames) -> Look | None:
        if self._task.done():
            return None
        return self._markers.look_at_codes(reversed(list(_awaiting(self._task.get_coro()))))


def _awaiting(awaitable: object) -> Iterator[CodeType]:
    """The code of a suspended coroutine and of all it awaits, outermost first.

    `Task.get_stack()` gives the outermost frame alone. A coroutine that runs at this moment awaits nothing.
    """
    for _ in range(_CHAIN_MAX):
        for code_name, next_name in (("cr_code", "cr_await"), ("gi_code", "gi_yieldfrom"), ("ag_code", "ag_await")):
            code = getattr(awaitable, code_name, None)
            if isinstance(code, CodeType):
                yield code
                awaitable = getattr(awaitable, next_name)
                break
        else:
            return
