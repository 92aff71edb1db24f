"""Health, readiness and what is running, in the words of Spring Boot's actuator."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from engine.core.snapshot import BlockReason, EngineSnapshot, EngineState, PartitionState
from exporter.build import gil_word, penstock_version, python_version
from exporter.door import NS_PER_SECOND, SILENT, Clock, Condition, Finding, SnapshotSource, findings
from exporter.management.replies import json_reply
from exporter.management.workers import Workers

# Snapshots are taken on demand; one this old says that whoever takes them no longer does.
SNAPSHOT_AGE_MAX_NS = 15 * NS_PER_SECOND
# A processor that is at one record for so long is worth a note; the log says it after the same time.
LONG_RECORD_NS = 10 * NS_PER_SECOND
_log = logging.getLogger("penstock.management")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status of the actuator (`UP`, `DOWN`, `OUT_OF_SERVICE`) and the reason in a few words."""

    status: str
    reason: str
    # What is out of the ordinary and does not change the status, a sentence each.
    notes: tuple[str, ...] = ()
    # All that is the case, worst first; empty where nobody was asked.
    found: tuple[Finding, ...] = ()

    @property
    def http_status(self) -> int:
        return 200 if self.status == "UP" else 503


_SILENT = Verdict("DOWN", SILENT.text, found=(SILENT,))


def health_of(snapshot: EngineSnapshot) -> Verdict:
    """DOWN when the engine or one of its partitions has failed; everything else is its normal life."""
    found = findings(snapshot)
    if found[0].condition is not Condition.FAILED:
        return Verdict("UP", f"the engine is {snapshot.state}", notes_of(snapshot), found)
    failed = [str(p.partition) for p in snapshot.belonging if p.state is PartitionState.FAILED]
    whole = snapshot.state is EngineState.FAILED or not failed
    return Verdict("DOWN", found[0].text if whole else f"failed partitions: {', '.join(failed)}", found=found)


def notes_of(snapshot: EngineSnapshot) -> tuple[str, ...]:
    """What a restart would not mend and an operator had better know: failing writes, no room, a hanging processor."""
    notes = [f"{p.append_error}; it is tried again" for p in snapshot.partitions if p.append_error is not None]
    waiting = [task for task in snapshot.tasks if task.state == BlockReason.DISK_FULL]
    if waiting:
        names = ", ".join(f"{task.task}/{task.subtask}" for task in waiting)
        notes.append(f"disk space is low: {names} {'wait' if len(waiting) > 1 else 'waits'} for room")
    notes += [
        f"the processor of partition {p.partition} has been at position {p.processing_position} "
        f"for {p.processing_ns // NS_PER_SECOND} s"
        for p in snapshot.partitions
        if p.processing_ns is not None and p.processing_ns >= LONG_RECORD_NS
    ]
    return tuple(notes)


def readiness_of(snapshot: EngineSnapshot, now_ns: int) -> Verdict:
    """UP while the engine runs and what is known of it is fresh. `now_ns` is monotonic."""
    age_ns = now_ns - snapshot.taken_monotonic_ns
    if age_ns > SNAPSHOT_AGE_MAX_NS:
        old = f"the newest snapshot is {age_ns // NS_PER_SECOND} s old"
        return Verdict("OUT_OF_SERVICE", old, found=(Finding(Condition.DOWN, old),))
    health = health_of(snapshot)
    if health.status != "UP":
        return health
    if snapshot.state is EngineState.RUNNING:
        return health
    return Verdict("OUT_OF_SERVICE", health.reason, health.notes, health.found)


class HealthRoutes:
    """The health paths. Liveness asks nobody: who answers is alive."""

    def __init__(self, engine: SnapshotSource, workers: Workers, clock: Clock) -> None:
        self._engine = engine
        self._workers = workers
        self._clock = clock

    async def health(self, _request: Request) -> Response:
        return _reply(await self._workers.run(self._health), groups=["liveness", "readiness"])

    async def liveness(self, _request: Request) -> Response:
        return _reply(Verdict("UP", "the process answers"))

    async def readiness(self, _request: Request) -> Response:
        return _reply(await self._workers.run(self._readiness))

    async def info(self, _request: Request) -> Response:
        snapshot = await self._workers.run(self._engine.snapshot)
        return json_reply(
            {
                "build": {
                    "name": "penstock",
                    "version": penstock_version(),
                    "python": python_version(),
                    "gil": gil_word(snapshot.has_gil),
                },
                "pipeline": {
                    "name": snapshot.pipeline,
                    "jobId": snapshot.job_id,
                    "state": snapshot.state,
                    "partitions": len(snapshot.partitions),
                    "startedAt": snapshot.started_wall_ns / NS_PER_SECOND,
                },
                "engine": dict(snapshot.info),
            }
        )

    def _health(self) -> Verdict:
        snapshot = self._snapshot()
        return _SILENT if snapshot is None else health_of(snapshot)

    def _readiness(self) -> Verdict:
        snapshot = self._snapshot()
        return _SILENT if snapshot is None else readiness_of(snapshot, self._clock.monotonic_ns())

    def _snapshot(self) -> EngineSnapshot | None:
        try:
            return self._engine.snapshot()
        except Exception:
            _log.exception("the engine gives no snapshot")
            return None


def _reply(verdict: Verdict, **more: object) -> Response:
    details: dict[str, object] = {"reason": verdict.reason}
    if verdict.found:
        details["condition"] = verdict.found[0].condition.words
        details["findings"] = [finding.text for finding in verdict.found]
    if verdict.notes:
        details["notes"] = verdict.notes
    content = {"status": verdict.status, "details": details, **more}
    return json_reply(content, verdict.http_status)
