"""A Flink cluster behind the exporter's door: looks at all of its jobs, again and again, on a thread of its own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, TypeVar

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock
from engine.core.errors import ConfigurationError, SettingError
from engine.core.secrets import Secrets
from engine.core.snapshot import EngineSnapshot, Origin, VertexBackPressure
from exporter.door import EngineDoor
from penstock.bridges.asking import Get, HttpSource, LookError
from penstock.bridges.bridge import LOOK_SECONDS_MAX, Bridge
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


class FlinkBridge(Bridge):
    """To the exporter an engine without tasks, which tells of the bridge, and behind it one for each job.

    A job is there as long as the last look showed it: what could not be looked at is not shown.
    """

    def __init__(self, settings: FlinkSettings, *, clock: Clock | None = None, get: Get | None = None) -> None:
        """`get` asks in place of an HTTP client. Raises `ConfigurationError` for an address that is none."""
        origin = Origin(bridge="flink", id="", version="")
        super().__init__(settings.name, origin, interval_ns=settings.interval_ns, clock=clock, log=log)
        self._settings = settings
        self._source = HttpSource(settings.url)
        self._get = get or self._source.get
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="penstock-flink")
        # By the looking thread alone.
        self._names: dict[str, str] = {}
        self._known: dict[str, FlinkJob] = {}
        self._books: dict[tuple[str, str], LookBook] = {}
        self._listed: Mapping[str, int] = {}
        self._omitted = 0
        self._looked_at: tuple[FlinkJob, ...] = ()
        # Told together with what is told of the bridge, under its lock.
        self._jobs: tuple[FlinkJob, ...] = ()

    @property
    def shown(self) -> str:
        return self._source.shown

    @property
    def secrets(self) -> Secrets:
        """What stands in the address and nobody may see."""
        return self._source.secrets

    def _interrupt(self) -> None:
        self._source.abort()

    def _ended(self) -> None:
        self._source.close()
        self._pool.shutdown(cancel_futures=True)

    # -- as an engine, and as several ---

    def engines(self) -> tuple[EngineDoor, ...]:
        with self._lock:
            told, jobs = self._told, self._jobs
        if self._clock.monotonic_ns() - told.taken_monotonic_ns > self._stale_ns:
            # Whoever looks does so no more.
            return (self,)
        return (self, *jobs)

    def look_at_back_pressure(self, vertex_id: str) -> VertexBackPressure:
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    def sample_back_pressure(self, vertex_id: str) -> bool:
        raise ConfigurationError(f"there is no task with the id {vertex_id!r}")

    @property
    def _stale_ns(self) -> int:
        return 3 * self._settings.interval_ns + 2 * LOOK_SECONDS_MAX * NS_PER_SECOND

    # -- looking ---

    def _look(self) -> str:
        if not self._origin.version:
            self._origin = replace(self._origin, version=answers.version(self._get("/config")))
        rows = answers.job_rows(self._get("/jobs/overview"))
        chosen = _chosen(rows)
        self._name_jobs(chosen)
        taken = _affordable_rows(chosen)
        self._looked_at = tuple(self._shown(one) for one in self._seen(taken))
        states = Counter(row.state.lower() for row in rows if row.state in answers.JOB_STATES)
        self._listed = {state.lower(): states[state.lower()] for state in answers.JOB_STATES}
        self._omitted = len(chosen) - len(taken)
        return f"Flink {self._origin.version or 'of unknown version'} with {len(rows)} jobs"

    def _filled(self, bare: EngineSnapshot) -> EngineSnapshot:
        assert bare.bridge is not None, "a bridge's own"
        return replace(bare, bridge=replace(bare.bridge, jobs=self._listed, omitted=self._omitted))

    def _forget(self) -> None:
        # It may be another one that answers next.
        self._origin = replace(self._origin, version="")
        for job in self._known.values():
            job.forget()
        self._looked_at = ()

    def _tell(self, told: EngineSnapshot) -> None:
        with self._lock:
            self._told, self._jobs = told, self._looked_at

    def _shown(self, seen: Seen) -> FlinkJob:
        name = self._names[seen.details.job_id]
        job = self._known.get(name)
        if job is None:
            job = self._known[name] = FlinkJob(name, seen)
        else:
            job.show(seen)
        return job

    def _seen(self, rows: Sequence[JobRow]) -> list[Seen]:
        looked = Moment(wall_ns=self._clock.wall_ns(), monotonic_ns=self._clock.monotonic_ns())
        details = _affordable([one for one in self._each(rows, self._details) if one is not None])
        vertices = [(one, vertex.vertex_id) for one in details for vertex in one.vertices]
        self._keep_books({(one.job_id, vertex_id) for one, vertex_id in vertices})
        subtasks = self._each(vertices, self._subtasks)
        pressure = self._each(vertices, self._pressure)
        found = dict(zip(((one.job_id, v) for one, v in vertices), zip(subtasks, pressure, strict=True), strict=True))
        return [
            Seen(
                details=one,
                version=self._origin.version,
                looked=looked,
                subtasks={v.vertex_id: s for v in one.vertices if (s := found[one.job_id, v.vertex_id][0]) is not None},
                pressure={v.vertex_id: p for v in one.vertices if (p := found[one.job_id, v.vertex_id][1]) is not None},
            )
            for one in details
        ]

    def _name_jobs(self, rows: Sequence[JobRow]) -> None:
        """A job keeps its name as long as it is there; of two with one name the later gets its id behind it."""
        kept = {row.job_id: self._names[row.job_id] for row in rows if row.job_id in self._names}
        fresh = [(row.job_id, row.name) for row in rows if row.job_id not in kept]
        self._names = {**kept, **unique(fresh, taken=(self._name, *kept.values()))}
        self._known = {name: job for name, job in self._known.items() if name in self._names.values()}

    def _each(self, things: Sequence[Asked], ask: Callable[[Asked], Answered | None]) -> list[Answered | None]:
        """Asks for all of them, some at once. Raises the first `LookError` that says that nobody answers."""
        end = monotonic() + LOOK_SECONDS_MAX
        futures = [self._pool.submit(ask, thing) for thing in things]
        try:
            return [future.result(timeout=max(0.0, end - monotonic())) for future in futures]
        except LateError:
            self._source.abort()
            raise LookError("timeout", f"{self.shown} takes longer than {LOOK_SECONDS_MAX} s for a look") from None
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
        if answers.is_timed(self._origin.version):
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
            self._missed(error)
            log.debug("%s", error)
            return None


def _affordable_rows(rows: Sequence[JobRow]) -> Sequence[JobRow]:
    """As many jobs, in order, as are looked at."""
    taken = rows[:JOBS_MAX]
    while sum(row.subtasks for row in taken) > SUBTASKS_MAX:
        taken = taken[:-1]
    return taken


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
