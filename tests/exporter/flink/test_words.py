from __future__ import annotations

import pytest

from engine.core.snapshot import EngineState, TaskStatus
from exporter.management.flink.words import EXECUTION_STATES, JOB_STATES, counts, job_state, vertex_state

CREATED, RUNNING, FINISHED = TaskStatus.CREATED, TaskStatus.RUNNING, TaskStatus.FINISHED
CANCELED, FAILED = TaskStatus.CANCELED, TaskStatus.FAILED


@pytest.mark.parametrize(
    ("subtasks", "state"),
    [
        ([RUNNING, FAILED, CANCELED], "FAILED"),
        ([RUNNING, CANCELED, FINISHED], "CANCELED"),
        ([RUNNING, FINISHED, CREATED], "RUNNING"),
        ([FINISHED, FINISHED], "FINISHED"),
        ([FINISHED, CREATED], "RUNNING"),
        ([CREATED, CREATED], "CREATED"),
        ([], "CREATED"),
    ],
)
def test_the_first_rule_that_holds_decides_the_state_of_a_vertex(subtasks: list[TaskStatus], state: str) -> None:
    assert vertex_state(subtasks) == state


@pytest.mark.parametrize("state", list(EngineState))
def test_every_state_of_the_engine_is_a_state_of_a_job(state: EngineState) -> None:
    assert job_state(state) in JOB_STATES


@pytest.mark.parametrize("status", list(TaskStatus))
def test_every_status_of_a_task_is_an_execution_state_and_counted_as_such(status: TaskStatus) -> None:
    assert status.upper() in EXECUTION_STATES
    found = counts([status.upper()])
    assert set(found) == set(EXECUTION_STATES)
    assert sum(found.values()) == found[status.upper()] == 1
