"""An unmodified Python process behind the exporter's door: its threads are tasks, and their stacks say what they do."""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from engine.backpressure.doubt import Doubt
from engine.backpressure.vertices import of_readings
from engine.backpressure.window import Counts, Verdict
from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.errors import ConfigurationError, SettingError
from engine.core.identity import stable_id
from engine.core.snapshot import (
    BackPressureSnapshot,
    BlockReason,
    EdgeSnapshot,
    EngineSnapshot,
    Origin,
    RecentTimes,
    SamplerSnapshot,
    TaskSnapshot,
    TaskStatus,
    VertexBackPressure,
    VertexKind,
    VertexSnapshot,
)
from penstock.bridges.asking import LookError
from penstock.bridges.blame import Steady, blame
from penstock.bridges.bridge import Bridge
from penstock.bridges.naming import shortened
from penstock.bridges.process.clocks import Clocks, read_clocks
from penstock.bridges.process.rules import Rules
from penstock.bridges.process.stacks import Samples, StackReader

# Pieces that make a ratio: half a minute, for 600 samples at 20 a second are good to 0.04.
_PIECES = 6
# Threads of one process that are looked at; the rest is counted as omitted.
THREADS_MAX = 500
_NUMBER = re.compile(r"[_-]?\d+$")
_ANONYMOUS = re.compile(r"Thread-\d+ \((?P<name>.+)\)")

log = logging.getLogger("penstock.watch")
Read = Callable[[int], list[Samples]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """Which process, and how its threads are judged. `graph` is chains of task names, as records flow."""

    pid: int
    # None: by its command line.
    name: str | None = None
    rate: int = 20
    piece_seconds: int = 5
    graph: tuple[tuple[str, ...], ...] = ()
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        if self.pid < 1:
            raise SettingError("pid", "must be the number of a process", self.pid)
        if not 1 <= self.rate <= 100:
            raise SettingError("rate", "must lie between 1 and 100 samples a second", self.rate)
        if not 1 <= self.piece_seconds <= 60:
            raise SettingError("piece", "must lie between 1 and 60 seconds", self.piece_seconds)


class _Watched:
    """One thread: what its last samples said, and its time since it was first seen."""

    def __init__(self, task: str, number: int, wall_ns: int) -> None:
        self.task = task
        self.number = number
        self.started_wall_ns = wall_ns
        self.pieces: deque[Counter[Verdict]] = deque(maxlen=_PIECES)
        self.ns: Counter[Verdict] = Counter()
        self.last = Verdict.IDLE
        # On a machine with more to do than it can, py-spy is given a core when the thread leaves one, and sees too much
        # waiting. A piece lies between two looks at the clocks.
        self._doubt = Doubt(_PIECES + 1)

    def ran(self, at_ns: int, ran_ns: tuple[int, int] | None) -> None:
        """How long it has been on a core, and wanted to be, at the beginning or the end of a piece."""
        self._doubt.looked(at_ns, ran_ns, lost=False)

    def take(self, seen: Counter[Verdict], elapsed_ns: int) -> None:
        self.pieces.append(seen)
        kept = self._doubt.most(self.counts())
        waited_ns = {
            verdict: round(elapsed_ns * kept * seen[verdict] / seen.total())
            for verdict in (Verdict.BLOCKED, Verdict.IDLE)
        }
        self.ns.update({**waited_ns, Verdict.BUSY: elapsed_ns - sum(waited_ns.values())})
        self.last = seen.most_common(1)[0][0]

    @property
    def unsure(self) -> str | None:
        """Why its ratios are unknown, one sentence; None while they are good enough."""
        return self._doubt.reason(self.counts())

    def reading(self, wall_ns: int | None) -> BackPressureSnapshot | None:
        """The ratios of its last pieces; None while they are not sure."""
        counts = self.counts()
        return None if self.unsure else counts.reading(wall_ns, waiting_kept=self._doubt.most(counts))

    def counts(self) -> Counts:
        seen: Counter[Verdict] = sum(self.pieces, Counter())
        return Counts(busy=seen[Verdict.BUSY], idle=seen[Verdict.IDLE], blocked=seen[Verdict.BLOCKED])


class ProcessWatch(Bridge):
    """To the exporter an engine without partitions. A look takes as long as the piece of samples that it brings."""

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        clock: Clock | None = None,
        read: Read | None = None,
        clocks: Callable[[], Clocks] | None = None,
    ) -> None:
        """`read` gives samples in place of py-spy, `clocks` those of the threads in place of the system.

        Raises `ConfigurationError` where py-spy is not installed.
        """
        name = shortened(settings.name or _program_of(settings.pid))
        origin = Origin(bridge="process", id=str(settings.pid), version="")
        super().__init__(name, origin, interval_ns=settings.piece_seconds * NS_PER_SECOND, clock=clock, log=log)
        self._settings = settings
        self._reader = StackReader(settings.pid, settings.rate) if read is None else None
        self._read = read or self._reader.read  # type: ignore[union-attr]
        self._clocks = clocks or partial(read_clocks, settings.pid)
        self._steady = Steady()
        self._threads: dict[str, _Watched] = {}
        self._omitted = 0
        # When the last piece was there; None where it was not.
        self._looked_ns: int | None = None

    @property
    def shown(self) -> str:
        return f"process {self._settings.pid}"

    def _interrupt(self) -> None:
        if self._reader is not None:
            self._reader.stop()

    def _pause_ns(self, took_ns: int) -> int:
        """None behind a piece; what is gone does not come back soon."""
        return max(0, self._interval_ns - took_ns)

    def check(self) -> None:
        """One short look, for who wants to know before anything is opened. Raises `ConfigurationError`."""
        try:
            self._read(1)
        except LookError as error:
            raise ConfigurationError(str(error)) from None

    # -- as an engine ---

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        for vertex in self.snapshot().back_pressure:
            if vertex.vertex_id == vertex_id:
                return vertex
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    def sample_back_pressure(self, vertex_id: str) -> bool:
        """Never: what is watched is always being sampled."""
        self.look_at_back_pressure(vertex_id)
        return False

    # -- looking ---

    def _look(self) -> str:
        before = (self._clock.monotonic_ns(), self._clocks())
        samples = self._read(self._settings.piece_seconds)
        now_ns, now = self._clock.monotonic_ns(), self._clocks()
        # What passes between two pieces is taken to be as they are, so that a thread's times add up to the time.
        elapsed_ns = 0 if self._looked_ns is None else now_ns - self._looked_ns
        self._looked_ns = now_ns
        self._take(samples, min(max(self._interval_ns, elapsed_ns), 2 * self._interval_ns), before, (now_ns, now))
        return f"a Python with {len(self._threads)} threads"

    def _forget(self) -> None:
        self._threads, self._steady = {}, Steady()
        self._looked_ns = None

    def _take(
        self, samples: Sequence[Samples], elapsed_ns: int, before: tuple[int, Clocks], now: tuple[int, Clocks]
    ) -> None:
        """Samples, the time that they stand for, and the clocks of all threads in front of them and behind."""
        seen: dict[str, Counter[Verdict]] = {}
        names: dict[str, str] = {}
        for one in samples:
            seen.setdefault(one.thread_id, Counter())[self._settings.rules.verdict(one.stack)] += one.count
            names[one.thread_id] = one.thread
        # A thread that is not seen any more has ended.
        threads = {key: thread for key, thread in self._threads.items() if key in seen}
        self._omitted = 0
        for key, verdicts in seen.items():
            if key not in threads:
                if len(threads) >= THREADS_MAX:
                    self._omitted += 1
                    continue
                threads[key] = self._new(task_of(names[key]), threads)
                threads[key].ran(before[0], before[1].get(key))
            threads[key].ran(now[0], now[1].get(key))
            threads[key].take(verdicts, elapsed_ns)
        self._threads = threads

    def _new(self, task: str, threads: dict[str, _Watched]) -> _Watched:
        """With the lowest number that is free."""
        taken = {thread.number for thread in threads.values() if thread.task == task}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        return _Watched(task, number, self._clock.wall_ns())

    def _filled(self, bare: EngineSnapshot) -> EngineSnapshot:
        wall_ns = bare.taken_wall_ns
        by_task: dict[str, list[_Watched]] = {}
        for thread in self._threads.values():
            by_task.setdefault(thread.task, []).append(thread)
        order = self._order(list(by_task))
        edges = tuple(
            EdgeSnapshot(source_id=self._id(source), target_id=self._id(target), ship_strategy="FORWARD")
            for chain in self._settings.graph
            for source, target in pairwise(chain)
            if source in by_task and target in by_task
        )
        vertices = tuple(
            VertexSnapshot(
                vertex_id=self._id(task), task=task, kind=self._kind(task, edges), parallelism=len(by_task[task])
            )
            for task in order
        )
        readings = {
            self._id(task): {
                thread.number: reading
                for thread in sorted(threads, key=lambda thread: thread.number)
                if (reading := thread.reading(wall_ns)) is not None
            }
            for task, threads in by_task.items()
        }
        found = blame(vertices, edges, readings)
        culprit = self._steady.after(found.culprit) if edges else None
        assert bare.bridge is not None, "a bridge's own"
        samples = self._settings.piece_seconds * self._settings.rate
        return replace(
            bare,
            vertices=vertices,
            edges=edges,
            tasks=tuple(
                _task(vertex, thread, readings[vertex.vertex_id].get(thread.number))
                for vertex in vertices
                for thread in sorted(by_task[vertex.task], key=lambda thread: thread.number)
            ),
            bottleneck=None if culprit is None else culprit.task,
            culprit=culprit,
            back_pressure=tuple(
                of_readings(
                    vertex.vertex_id,
                    readings[vertex.vertex_id],
                    is_fresh=True,
                    sampled_wall_ns=wall_ns,
                    problem=next((why for thread in by_task[vertex.task] if (why := thread.unsure)), None),
                )
                for vertex in vertices
            ),
            sampler=SamplerSnapshot(
                mode="continuous",
                num_samples=_PIECES * samples,
                delay_between_samples_ns=NS_PER_SECOND // self._settings.rate,
                refresh_interval_ns=self._interval_ns,
                ticks=self._looks * samples,
                missed=0,
                lateness_ns=0,
                lateness_max_ns=0,
            ),
            bridge=replace(bare.bridge, omitted=self._omitted),
            waits=found.waits if edges else None,
        )

    def _order(self, tasks: list[str]) -> list[str]:
        """Those of the graph first, as records flow; the others by name."""
        drawn = list(dict.fromkeys(task for chain in self._settings.graph for task in chain))
        return [*(task for task in drawn if task in tasks), *sorted(task for task in tasks if task not in drawn)]

    def _kind(self, task: str, edges: Sequence[EdgeSnapshot]) -> VertexKind:
        vertex_id = self._id(task)
        is_fed = any(edge.target_id == vertex_id for edge in edges)
        feeds = any(edge.source_id == vertex_id for edge in edges)
        if feeds and not is_fed:
            return VertexKind.SOURCE
        return VertexKind.EXPORTER if is_fed and not feeds else VertexKind.TRANSFORM

    def _id(self, task: str) -> str:
        return stable_id("process", self._name, task)


def task_of(thread: str) -> str:
    """Threads that differ by a number are subtasks of one task: `reader-1`, `Thread-3 (reader)`, `reader_2`."""
    anonymous = _ANONYMOUS.fullmatch(thread)
    if anonymous is not None:
        return shortened(anonymous["name"])
    return shortened(_NUMBER.sub("", thread) or thread)


def _task(vertex: VertexSnapshot, thread: _Watched, reading: BackPressureSnapshot | None) -> TaskSnapshot:
    is_unsure = thread.unsure is not None
    states = {Verdict.BLOCKED: BlockReason.BUFFER.value, Verdict.BUSY: "busy", Verdict.IDLE: "idle"}
    return TaskSnapshot(
        task=vertex.task,
        vertex_id=vertex.vertex_id,
        kind=vertex.kind,
        subtask=thread.number,
        status=TaskStatus.RUNNING,
        started_wall_ns=thread.started_wall_ns,
        ended_wall_ns=None,
        busy_ns=None if is_unsure else thread.ns[Verdict.BUSY],
        idle_ns=None if is_unsure else thread.ns[Verdict.IDLE],
        back_pressured_ns={} if is_unsure else {BlockReason.BUFFER: thread.ns[Verdict.BLOCKED]},
        longest_blocked_ns=None,
        state=states[thread.last],
        # Records are nobody's business but the program's.
        records_in=None,
        records_out=None,
        rejected={},
        buffers_in_use=None,
        buffers=None,
        back_pressure=reading,
        recent=None
        if reading is None
        else RecentTimes(
            span_ns=NS_PER_SECOND,
            busy_ns=round(NS_PER_SECOND * (reading.busy_ratio or 0)),
            idle_ns=round(NS_PER_SECOND * (reading.idle_ratio or 0)),
            back_pressured_ns={BlockReason.BUFFER: round(NS_PER_SECOND * reading.ratio)},
            blocked_by_channel_ns=(),
            records_in=0,
            records_out=0,
        ),
    )


def _program_of(pid: int) -> str:
    """The name of its script, or of its module."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return f"process {pid}"
    for before, word in pairwise(words):
        if before == "-m":
            return word
    script = next((word for word in words[1:] if not word.startswith("-")), None)
    return f"process {pid}" if script is None else Path(script).stem
