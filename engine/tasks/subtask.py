"""A subtask: one instance of a vertex on a thread of its own, with its life and its numbers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from engine.core.clock import Clock
from engine.core.errors import DamagedInputError, StoppedError
from engine.core.snapshot import BlockReason, InputSnapshot, TaskSnapshot, TaskStatus, VertexSnapshot
from engine.tasks.buffers import LocalBufferPool
from engine.tasks.timers import TaskTimer

log = logging.getLogger("penstock.task")

REJECT_REASONS = ("error", "processor")

# The name of a task and what it died of.
Failed = Callable[[str, BaseException], None]


@dataclass(slots=True)
class Meter:
    """What a subtask counts. Its own thread alone writes; readers may be a record behind."""

    records_in: int = 0
    records_out: int = 0
    # By reason: user code raised ("error"), or the processor decided so ("processor").
    rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REJECT_REASONS, 0))

    def reject(self, reason: Literal["error", "processor"]) -> None:
        self.rejected[reason] += 1


class Subtask:
    """Runs `body` on a daemon thread from `start` to its return; a failure is told once to `failed`.

    A `StoppedError` is no failure: it is how a blocked task learns that it should end. One that has ended may be given
    another body and started again; its counters and times go on.
    """

    def __init__(self, vertex: VertexSnapshot, index: int, clock: Clock, *, failed: Failed) -> None:
        self.vertex = vertex
        self.index = index
        self.timer = TaskTimer(clock)
        self.meter = Meter()
        # Set by whoever wires the task, where it hands on buffers.
        self.pool: LocalBufferPool | None = None
        self.body: Callable[[], None] | None = None
        # How far it is in what it reads; a source's task sets it.
        self.input: Callable[[], InputSnapshot | None] | None = None
        self.status = TaskStatus.CREATED
        self._clock = clock
        self._failed = failed
        self._started_wall_ns: int | None = None
        self._ended_wall_ns: int | None = None
        self.thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return f"{self.vertex.task}/{self.index}"

    @property
    def is_over(self) -> bool:
        return self.status in (TaskStatus.FINISHED, TaskStatus.CANCELED, TaskStatus.FAILED)

    def start(self) -> None:
        assert self.body is not None, "a task is wired before it starts"
        self.thread = threading.Thread(target=self._run, name=f"penstock-{self.name}", daemon=True)
        self.status = TaskStatus.RUNNING
        self._started_wall_ns = self._started_wall_ns or self._clock.wall_ns()
        self._ended_wall_ns = None
        self.thread.start()

    def join(self, timeout_seconds: float | None = None) -> bool:
        """True when the thread has ended (or never began)."""
        if self.thread is not None:
            self.thread.join(timeout_seconds)
            return not self.thread.is_alive()
        return True

    def _run(self) -> None:
        assert self.body is not None
        self.timer.start()
        status = TaskStatus.FINISHED
        try:
            self.body()
        except StoppedError:
            status = TaskStatus.CANCELED
        except BaseException as error:
            status = TaskStatus.FAILED
            # Whose input is damaged needs no trace of ours.
            is_ours = not isinstance(error, DamagedInputError)
            log.error("task %s failed: %s", self.name, error, exc_info=is_ours)
            self._failed(self.name, error)
        finally:
            self.timer.stop()
            self._ended_wall_ns = self._clock.wall_ns()
            self.status = status

    def snapshot(self) -> TaskSnapshot:
        times = self.timer.read()
        pool = self.pool
        return TaskSnapshot(
            task=self.vertex.task,
            vertex_id=self.vertex.vertex_id,
            kind=self.vertex.kind,
            subtask=self.index,
            status=self.status,
            started_wall_ns=self._started_wall_ns,
            ended_wall_ns=self._ended_wall_ns,
            busy_ns=times.busy_ns,
            idle_ns=times.idle_ns,
            back_pressured_ns=times.back_pressured_ns,
            longest_blocked_ns=times.longest_blocked_ns,
            state=times.state,
            records_in=self.meter.records_in,
            records_out=self.meter.records_out,
            rejected=dict(self.meter.rejected),
            input=None if self.input is None else self.input(),
            buffers_in_use=None if pool is None else pool.in_use,
            buffers=None if pool is None else pool.capacity,
            blocked_by_channel_ns=(
                () if pool is None else pool.blocked_by_channel_ns(times.back_pressured_ns[BlockReason.BUFFER])
            ),
        )
