"""Flink's words for states, and its way to write times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import assert_never

from engine.core.snapshot import EngineState, TaskStatus

Json = dict[str, object]
NS_PER_MS = 1_000_000

# Those that occur here come first; the others are listed with a count of 0, as Flink does.
EXECUTION_STATES = (
    "CREATED", "RUNNING", "FINISHED", "CANCELED", "FAILED",
    "SCHEDULED", "DEPLOYING", "CANCELING", "RECONCILING", "INITIALIZING",
)  # fmt: skip
JOB_STATES = (
    "INITIALIZING", "CREATED", "RUNNING", "FAILING", "FAILED", "CANCELLING", "CANCELED", "FINISHED", "RESTARTING",
    "SUSPENDED", "RECONCILING",
)  # fmt: skip


def milliseconds(ns: int) -> int:
    return ns // NS_PER_MS


def milliseconds_or_never(ns: int | None) -> int:
    """-1 for a moment that has not come."""
    return -1 if ns is None else ns // NS_PER_MS


def job_state(state: EngineState) -> str:
    match state:
        case EngineState.STARTING:
            return "INITIALIZING"
        case EngineState.RUNNING | EngineState.STOPPING:
            # A stream that drains still runs.
            return "RUNNING"
        case EngineState.FINISHED:
            return "FINISHED"
        case EngineState.FAILED:
            return "FAILED"
        case _:
            assert_never(state)


def execution_state(status: TaskStatus) -> str:
    return status.upper()


def vertex_state(statuses: Iterable[TaskStatus]) -> str:
    """One state for all subtasks of a vertex; the first rule that holds decides, in Flink's order."""
    present = set(statuses)
    for status in (TaskStatus.FAILED, TaskStatus.CANCELED, TaskStatus.RUNNING):
        if status in present:
            return execution_state(status)
    if TaskStatus.FINISHED in present:
        return "FINISHED" if present == {TaskStatus.FINISHED} else "RUNNING"
    return "CREATED"


def counts(states: Iterable[str]) -> dict[str, int]:
    """How many are in each execution state; every state is named."""
    found = Counter(states)
    return {state: found[state] for state in EXECUTION_STATES}
