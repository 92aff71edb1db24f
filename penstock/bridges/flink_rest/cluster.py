"""A Flink cluster behind the exporter's door: looks at all of its jobs, again and again, on a thread of its own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError, SettingError
from engine.core.identity import stable_id
from engine.core.rarely import Rarely, and_more
from engine.core.secrets import Secrets
from engine.core.snapshot import BridgeSnapshot, EngineSnapshot, EngineState, Origin, VertexBackPressure
from exporter.catalogue import LOOK_ERRORS
from exporter.door import EngineDoor
from penstock.bridges.asking import Get, HttpSource, LookError
from penstock.bridges.door import WithoutFlowControl
from penstock.bridges.flink_rest import answers
from penstock.bridges.flink_rest.answers import JobDetails, JobRow
from penstock.bridges.flink_rest.job import FlinkJob, Moment, Seen
from penstock.bridges.flink_rest.looks import LookBook
from penstock.bridges.naming import unique

# What one bridge looks at; the rest is counted as omitted.
JOBS_MAX = 200
SUBTASKS_MAX = 20_000
VERTICES_MAX = 5_000
# Requests at once: a job manager has other work to do.
_AT_ONCE = 4
# A look that takes longer is given up, and what it should have brought is unknown.
_LOOK_SECONDS_MAX = 60
# A cluster that is slow is asked less often: at most half of the time.
_SHARE_OF_TIME_MAX = 2
# How long after its refresh interval a classic measurement may be fetched.
_GRACE_NS = 30 * NS_PER_SECOND
_INTERVAL_NS_MIN = NS_PER_SECOND

log = logging.getLogger("penstock.bridge")
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkSettings:
    """Where Flink's REST API is, and how often it is asked. The address may hold a user and a password."""

    url: str = field(repr=False)
    name: str = "flink"
    interval_ns: int = 10 * NS_PER_SECOND
    # Of Flink up to 1.12: what `web.backpressure.refresh-interval` is there.
    refresh_interval_ns: int = 60 * NS_PER_SECOND

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SettingError("name", "must not be empty", repr(self.name))
        if self.interval_ns < _INTERVAL_NS_MIN:
            raise SettingError("interval", "must be at least 1s", f"{self.interval_ns / NS_PER_SECOND:g}s")
        if self.refresh_interval_ns < self.interval_ns:
            raise SettingError(
                "refresh interval",
                "must not be shorter than the interval",
                f"{self.refresh_interval_ns / NS_PER_SECOND:g}s",
            )


class FlinkBridge(WithoutFlowControl):
    """To the exporter an engine without tasks, which tells of the bridge, and behind it one for each job.

    `start` and `stop` are for one thread, `look` for one at a time; everything else may be called from any. A job is
    there as long as the last look showed it: what could not be looked at is not shown.
    """

    # Nothing is stored.
    data_folder = None

    def __init__(self, settings: FlinkSettings, *, clock: Clock | None = None, get: Get | None = None) -> None:
        """`get` asks in place of an HTTP client. Raises `ConfigurationError` for an address that is none."""
        self._settings = settings
        self._clock = clock or SystemClock()
        self._source = HttpSource(settings.url)
        self._get = get or self._source.get
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="penstock-flink")
        self._rarely = Rarely(self._clock)
        self._started_wall_ns = self._clock.wall_ns()
        # By the looking thread alone.
        self._version: str | None = None
        self._names: dict[str, str] = {}
        self._known: dict[str, FlinkJob] = {}
        self._books: dict[tuple[str, str], LookBook] = {}
        self._errors: Counter[str] = Counter(dict.fromkeys(LOOK_ERRORS, 0))
        self._looks = 0
        self._succeeded_wall_ns: int | None = None
        self._wait_ns = settings.interval_ns
        self._lock = Lock()
        # Guarded by the lock, and replaced as a whole.
        self._jobs: tuple[FlinkJob, ...] = ()
        self._told = self._snapshot(is_up=None, look_ns=None, jobs={}, omitted=0, problem=None)
        self._stop = Event()
        self._thread: Thread | None = None

    @property
    def shown(self) -> str:
        """The address, without what nobody may see."""
        return self._source.shown

    @property
    def secrets(self) -> Secrets:
        """What stands in the address and nobody may see."""
        return self._source.secrets

    # -- life ---

    def start(self) -> Self:
        assert self._thread is None, "started once"
        self._thread = Thread(target=self._run, name="penstock-bridge", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Looks no more. May be repeated."""
        self._stop.set()
        self._source.close()
        if self._thread is not None:
            self._thread.join(_LOOK_SECONDS_MAX)
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._wait_ns / NS_PER_SECOND)

    # -- as an engine, and as several ---

    def engines(self) -> tuple[EngineDoor, ...]:
        with self._lock:
            told, jobs = self._told, self._jobs
        if self._clock.monotonic_ns() - told.taken_monotonic_ns > self._stale_ns:
            # Whoever looks does so no more.
            return (self,)
        return (self, *jobs)

    def snapshot(self) -> EngineSnapshot:
        with self._lock:
            return self._told

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    def sample_back_pressure(self, vertex_id: str) -> bool:
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    @property
    def _stale_ns(self) -> int:
        return 3 * self._settings.interval_ns + 2 * _LOOK_SECONDS_MAX * NS_PER_SECOND

    # -- looking ---

    def look(self) -> None:
        """One look at everything. Never raises: what went wrong is told by the snapshot."""
        began_ns = self._clock.monotonic_ns()
        self._looks += 1
        try:
            rows, omitted, seen = self._looked()
        except LookError as error:
            if not self._stop.is_set():
                self._failed(error, self._clock.monotonic_ns() - began_ns)
        except Exception as error:
            # Ours: the next look is another try, and nothing old is shown meanwhile.
            log.exception("a look at %s failed", self.shown)
            self._failed(LookError("malformed", f"{self.shown} could not be read: {type(error).__name__}"), 0)
        else:
            look_ns = self._clock.monotonic_ns() - began_ns
            self._succeeded(rows, omitted, seen, look_ns)
        self._wait_ns = max(
            self._settings.interval_ns - (self._clock.monotonic_ns() - began_ns),
            (_SHARE_OF_TIME_MAX - 1) * (self._clock.monotonic_ns() - began_ns),
        )

    def _failed(self, error: LookError, look_ns: int) -> None:
        self._errors[_counted(error)] += 1
        # It may be another one that answers next.
        self._version = None
        for job in self._known.values():
            job.forget()
        count = self._rarely.more()
        if count is not None:
            log.warning("%s; nothing is shown of it until it does%s", error, and_more(count))
        with self._lock:
            self._jobs = ()
            self._told = self._snapshot(is_up=False, look_ns=look_ns, jobs={}, omitted=0, problem=str(error))

    def _succeeded(self, rows: Sequence[JobRow], omitted: int, seen: Sequence[Seen], look_ns: int) -> None:
        if self._told.bridge is None or not self._told.bridge.is_up:
            log.info("%s answers: Flink %s with %d jobs", self.shown, self._version or "of unknown version", len(rows))
        self._succeeded_wall_ns = self._clock.wall_ns()
        jobs = tuple(self._shown(one) for one in seen)
        states = Counter(row.state.lower() for row in rows if row.state in answers.JOB_STATES)
        counted = {state.lower(): states[state.lower()] for state in answers.JOB_STATES}
        with self._lock:
            self._jobs = jobs
            self._told = self._snapshot(is_up=True, look_ns=look_ns, jobs=counted, omitted=omitted, problem=None)

    def _shown(self, seen: Seen) -> FlinkJob:
        name = self._names[seen.details.job_id]
        job = self._known.get(name)
        if job is None:
            job = self._known[name] = FlinkJob(name, seen)
        else:
            job.show(seen)
        return job

    def _looked(self) -> tuple[list[JobRow], int, list[Seen]]:
        if self._version is None:
            self._version = answers.version(self._get("/config"))
        rows = answers.job_rows(self._get("/jobs/overview"))
        chosen = _chosen(rows)
        self._name(chosen)
        looked = Moment(wall_ns=self._clock.wall_ns(), monotonic_ns=self._clock.monotonic_ns())
        taken = chosen[:JOBS_MAX]
        while sum(row.subtasks for row in taken) > SUBTASKS_MAX:
            taken = taken[:-1]
        details = _affordable([one for one in self._each(taken, self._details) if one is not None])
        vertices = [(one, vertex.vertex_id) for one in details for vertex in one.vertices]
        self._keep_books({(one.job_id, vertex_id) for one, vertex_id in vertices})
        subtasks = self._each(vertices, self._subtasks)
        pressure = self._each(vertices, self._pressure)
        found = dict(zip(((one.job_id, v) for one, v in vertices), zip(subtasks, pressure, strict=True), strict=True))
        seen = [
            Seen(
                details=one,
                version=self._version,
                looked=looked,
                subtasks={v.vertex_id: s for v in one.vertices if (s := found[one.job_id, v.vertex_id][0]) is not None},
                pressure={v.vertex_id: p for v in one.vertices if (p := found[one.job_id, v.vertex_id][1]) is not None},
            )
            for one in details
        ]
        return rows, len(chosen) - len(taken), seen

    def _name(self, rows: Sequence[JobRow]) -> None:
        """A job keeps its name as long as it is there; of two with one name the later gets its id behind it."""
        kept = {row.job_id: self._names[row.job_id] for row in rows if row.job_id in self._names}
        fresh = [(row.job_id, row.name) for row in rows if row.job_id not in kept]
        self._names = {**kept, **unique(fresh, taken=(self._settings.name, *kept.values()))}
        self._known = {name: job for name, job in self._known.items() if name in self._names.values()}

    def _each(self, things: Sequence[Asked], ask: Callable[[Asked], Answered | None]) -> list[Answered | None]:
        """Asks for all of them, some at once. Raises the first `LookError` that says that nobody answers."""
        end = monotonic() + _LOOK_SECONDS_MAX
        futures = [self._pool.submit(ask, thing) for thing in things]
        try:
            return [future.result(timeout=max(0.0, end - monotonic())) for future in futures]
        except LateError:
            self._source.abort()
            raise LookError("timeout", f"{self.shown} takes longer than {_LOOK_SECONDS_MAX} s for a look") from None
        finally:
            for future in futures:
                future.cancel()

    def _details(self, row: JobRow) -> JobDetails | None:
        return self._one(f"/jobs/{row.job_id}", answers.job_details)

    def _subtasks(self, of: tuple[JobDetails, str]) -> Any:
        job, vertex_id = of
        return self._one(f"/jobs/{job.job_id}/vertices/{vertex_id}", answers.subtask_rows)

    def _pressure(self, of: tuple[JobDetails, str]) -> answers.BackPressure | None:
        job, vertex_id = of
        if job.state != "RUNNING":
            return None
        path = f"/jobs/{job.job_id}/vertices/{vertex_id}/backpressure"
        if answers.is_timed(self._version or ""):
            return self._one(path, answers.back_pressure)
        book = self._books[job.job_id, vertex_id]
        if book.is_due(job.now_ms):
            book.looked(self._one(path, answers.back_pressure), job.now_ms)
        return book.known(job.now_ms, _GRACE_NS // NS_PER_MS)

    def _keep_books(self, wanted: Iterable[tuple[str, str]]) -> None:
        refresh_ms = self._settings.refresh_interval_ns // NS_PER_MS
        self._books = {key: self._books.get(key) or LookBook(refresh_ms) for key in wanted}

    def _one(self, path: str, read: Callable[[Any], Answered]) -> Answered | None:
        """None for what is not there, and for an answer that cannot be read, which is counted."""
        try:
            return read(self._get(path))
        except LookError as error:
            if error.is_gone:
                return None
            if error.reason in ("unreachable", "timeout", "refused"):
                raise
            with self._lock:
                self._errors[_counted(error)] += 1
            log.debug("%s", error)
            return None

    def _snapshot(
        self, *, is_up: bool | None, look_ns: int | None, jobs: dict[str, int], omitted: int, problem: str | None
    ) -> EngineSnapshot:
        name = self._settings.name
        states = {None: EngineState.STARTING, True: EngineState.RUNNING, False: EngineState.FAILED}
        return EngineSnapshot(
            pipeline=name,
            job_id=stable_id("bridge", name),
            state=states[is_up],
            failure=problem,
            started_wall_ns=self._started_wall_ns,
            taken_wall_ns=self._clock.wall_ns(),
            taken_monotonic_ns=self._clock.monotonic_ns(),
            vertices=(),
            edges=(),
            partitions=(),
            tasks=(),
            origin=Origin(bridge="flink", id="", version=self._version or ""),
            bridge=BridgeSnapshot(
                is_up=is_up,
                looks=self._looks,
                errors=dict(self._errors),
                succeeded_wall_ns=self._succeeded_wall_ns,
                look_ns=look_ns,
                jobs=jobs,
                omitted=omitted,
            ),
        )


def _counted(error: LookError) -> str:
    """What is gone at the top is the wrong address."""
    return "status" if error.is_gone else error.reason


def _affordable(details: Sequence[JobDetails]) -> list[JobDetails]:
    """As many jobs, in order, as have no more vertices than can be asked for within a look."""
    taken: list[JobDetails] = []
    vertices = 0
    for one in details:
        vertices += len(one.vertices)
        if vertices > VERTICES_MAX:
            log.warning("%d of %d jobs are looked at: they have too many tasks for one look", len(taken), len(details))
            break
        taken.append(one)
    return taken


def _chosen(rows: Sequence[JobRow]) -> list[JobRow]:
    """Jobs that are not over, oldest first, and the last one that failed where none of its name has followed."""
    alive = sorted((row for row in rows if row.state not in answers.OVER), key=lambda row: (row.started_ms, row.job_id))
    names = {row.name for row in alive}
    failed: dict[str, JobRow] = {}
    for row in sorted(rows, key=lambda row: row.started_ms):
        if row.state in answers.OVER and row.name not in names:
            failed[row.name] = row
    return [*alive, *(row for row in failed.values() if row.state == "FAILED")]
