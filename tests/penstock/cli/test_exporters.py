"""`penstock exporters` against a real management port over a hand-made engine."""

from __future__ import annotations

import json

import pytest

from exporter.management import ManagementServer
from penstock.cli.ending import ended
from penstock.cli.main import commands
from tests.exporter.management.test_exporters import failing
from tests.support.engines import FakeEngine
from tests.support.snapshots import engine_snapshot, partition


def called(engine: FakeEngine, *arguments: str) -> int:
    with ManagementServer(engine, port=0) as server:
        whole = ["exporters", *arguments, "--url", server.url]
        return ended(lambda: commands.main(whole, prog_name="penstock", standalone_mode=False))


def test_the_table_has_a_row_for_each_exporter_and_partition_and_the_last_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert called(FakeEngine(failing()), "ls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("exporter", "partition", "state", "acknowledged", "backlog", "oldest", "exported", "skipped", "errors"),
    ]
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["search", "1", "exporting"],
        ["search", "2", "retrying"],
        ["file", "1", "paused"],
        ["file", "2", "paused"],
    ]
    assert "5.5 s" in lines[2]
    assert lines[5] == "search on partition 2, 1 s ago: http://search answers 503"


def test_the_answer_is_given_as_it_is_where_a_program_asks(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(FakeEngine(failing()), "ls", "--json") == 0
    assert json.loads(capsys.readouterr().out)["exporters"][0]["exporter"] == "search"


def test_a_pipeline_without_exporters_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(FakeEngine(engine_snapshot(partitions=(partition(1),))), "ls") == 0
    assert capsys.readouterr().out == "the pipeline has no exporters\n"


def test_an_exporter_is_held_and_let_go(capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine(failing())
    assert called(engine, "pause", "search") == 0
    assert called(engine, "resume", "search") == 0
    assert capsys.readouterr().out == "search is paused\nsearch goes on\n"
    assert engine.paused == [("search", True), ("search", False)]


def test_an_exporter_that_is_not_there_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(FakeEngine(failing()), "pause", "serach") == 2
    assert capsys.readouterr().err == "penstock: there is no exporter 'serach'\n"
