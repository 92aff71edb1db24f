"""`penstock back-pressure` against a real management port over a hand-made engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from threading import Timer

import pytest

from engine.core.snapshot import BlockReason, Culprit, EngineSnapshot, SamplingProgress
from exporter.management import ManagementServer
from penstock.cli.ending import ended
from penstock.cli.main import commands
from tests.support.engines import FakeEngine
from tests.support.flink import PARSE, job, measured, not_yet
from tests.support.snapshots import engine_snapshot
from tests.support.waiting import WAIT_SECONDS

CULPRIT = Culprit(
    task="parse",
    vertex_id=PARSE,
    subtask=3,
    reason=BlockReason.BUFFER,
    victims=("flights/0",),
    text="parse, subtask 3, is busy 100% of its time and cannot take more; flights is held back 90% of its time",
)


def call(*arguments: str) -> int:
    return ended(lambda: commands.main(["back-pressure", *arguments], prog_name="penstock", standalone_mode=False))


def called(told: EngineSnapshot, *arguments: str) -> int:
    with ManagementServer(FakeEngine(told), port=0) as server:
        return call("--url", server.url, *arguments)


def sampled() -> EngineSnapshot:
    """The job with the ratios of its vertex on its subtasks."""
    seen = measured()
    told = job(not_yet(), culprit=CULPRIT)
    return replace(
        told,
        tasks=tuple(
            replace(task, back_pressure=seen.subtasks.get(task.subtask)) if task.vertex_id == PARSE else task
            for task in told.tasks
        ),
    )


def test_the_table_has_a_row_for_each_subtask_and_names_the_task_to_blame(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(sampled()) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert {"flights", "parse/0", "parse/1", "parse/2", "parse/3", "file"} <= set(rows)
    assert "finished" in rows["parse/2"]
    assert "0.48" in rows["parse/1"]
    assert "LOW" in rows["parse/1"]
    assert "buffer 50%" in rows["parse/1"]
    assert "◀" in rows["parse/3"]
    assert sum("◀" in row for row in rows.values()) == 1
    assert rows["to"] == f"to blame: {CULPRIT.text}"


def test_a_window_that_is_too_low_for_the_table_shows_the_task_to_blame_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert called(sampled()) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == f"to blame: {CULPRIT.text}"


def test_a_measurement_under_way_and_a_problem_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    seen = replace(not_yet(), sampling=SamplingProgress(taken=7, of=100), problem="subtask 2 was not running")
    assert called(job(seen)) == 0
    out = capsys.readouterr().out
    assert "sampling 7/100" in out
    assert "parse: subtask 2 was not running" in out
    assert "nobody is held back" in out


def test_json_is_the_answer_of_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(sampled(), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["bottleneck"]["task"] == "parse"
    assert [task["task"] for task in answer["tasks"]] == ["flights", "parse", "file"]


def test_a_pipeline_that_has_no_tasks_yet_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(engine_snapshot()) == 0
    assert "has not started yet" in capsys.readouterr().out


def test_nobody_there_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--url", "http://127.0.0.1:1") == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "does not answer" in captured.err


def test_a_wrong_address_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--url", "nowhere") == 2
    assert "--url must begin with http" in capsys.readouterr().err


def test_watching_into_a_pipe_writes_each_look_behind_the_last_until_ctrl_c() -> None:
    with ManagementServer(FakeEngine(sampled()), port=0) as server:
        command = ["back-pressure", "--watch", "--every", "0.1", "--url", server.url]
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        too_late = Timer(WAIT_SECONDS, process.kill)
        too_late.start()
        try:
            assert process.stdout is not None
            headings = (line for line in process.stdout if line.startswith("task "))
            assert len(list(islice(headings, 2))) == 2
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        finally:
            too_late.cancel()
            process.kill()
    assert (process.returncode, err) == (0, "")
