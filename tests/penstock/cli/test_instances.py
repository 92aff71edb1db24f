"""`penstock instances` against a real management port over a hand-made engine."""

from __future__ import annotations

import json

import pytest

from exporter.management import ManagementServer
from penstock.cli.ending import ended
from penstock.cli.main import commands
from tests.exporter.management.test_instances import shared
from tests.support.engines import FakeEngine
from tests.support.snapshots import engine_snapshot


class Reopening(FakeEngine):
    """One of several."""

    def __init__(self) -> None:
        super().__init__(shared())
        self.reopened: list[int] = []

    def reopen(self, partition: int) -> None:
        self.reopened.append(partition)

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        return


def called(engine: FakeEngine, *arguments: str) -> int:
    with ManagementServer(engine, port=0) as server:
        whole = ["instances", *arguments, "--url", server.url]
        return ended(lambda: commands.main(whole, prog_name="penstock", standalone_mode=False))


def test_the_tables_say_who_is_there_who_has_what_and_what_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(Reopening(), "ls") == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].split() == ["instance", "since", "partitions", "gateway", "version", "differs"]
    assert lines[1].startswith("a (asked)")
    assert lines[2].split()[0] == "b"
    assert lines[2].split()[-1] == "processor"
    assert lines[3] == ""
    assert lines[5].split()[:3] == ["1", "a", "running"]
    assert lines[6].split()[:3] == ["2", "a", "failed"]
    assert lines[7:] == ["", "partition 2: task processor/1 failed: no luck"]


def test_a_program_gets_the_answer_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(Reopening(), "ls", "--json") == 0
    assert json.loads(capsys.readouterr().out)["me"] == "a"


def test_a_partition_that_stands_still_is_let_try_again(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Reopening()
    assert called(engine, "reopen", "2") == 0
    assert engine.reopened == [2]
    assert capsys.readouterr().out == "partition 2 is opened again\n"


def test_a_pipeline_that_runs_as_one_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(FakeEngine(engine_snapshot()), "ls") == 2
    assert "no other instance shares it" in capsys.readouterr().err
