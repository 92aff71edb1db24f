"""Records that the log can keep and JSON cannot say: the pipeline's policy decides, and nothing is held up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import Pipeline
from engine.core.clock import NS_PER_MS
from engine.core.errors import RefusedRecordsError, TaskFailedError
from engine.core.records import Record
from engine.exporting.document import sayable_lines
from engine.exporting.elasticsearch import elasticsearch
from engine.exporting.http import http
from engine.exporting.jsonl import jsonl
from engine.exporting.postgres import postgres
from engine.exporting.protocol import Exporter, ExporterFactory, RecordFilter
from engine.exporting.retry import RetryPolicy
from tests.support.pipelines import ListSource
from tests.support.records import context, record
from tests.support.targets.http_target import bulk_target, line_target
from tests.support.targets.postgres_server import MISSING, postgres_server
from tests.support.waiting import WAIT_SECONDS

PAIR: dict[Any, Any] = {(1, 2): "a pair as a key"}
FAST = RetryPolicy(first_ns=NS_PER_MS, longest_ns=5 * NS_PER_MS)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def three(bad: Any = None) -> list[Record]:
    """The middle one cannot be said."""
    return [record(1), record(2, PAIR if bad is None else bad), record(3)]


def refused_by(exporter: Exporter, records: list[Record]) -> RefusedRecordsError:
    with pytest.raises(RefusedRecordsError) as raised:
        exporter.export(records)
    return raised.value


@pytest.mark.parametrize("bad", [PAIR, {"a": {None: 1}}, nested(100_000)])
def test_the_lines_leave_out_what_cannot_be_said_and_say_why(bad: Any) -> None:
    text, unsayable = sayable_lines(three(bad), 1)
    assert [json.loads(line)["position"] for line in text.splitlines()] == [1, 3]
    assert list(unsayable) == [2]
    assert unsayable[2].startswith("JSON cannot say its value: ")
    assert sayable_lines([record(1)], 1)[1] == {}


def test_jsonl_keeps_the_others_and_tells_where_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    exporter = jsonl(path)()
    exporter.open(context())
    error = refused_by(exporter, three())
    assert [json.loads(line)["position"] for line in path.read_text().splitlines()] == [1, 3]
    assert error.cursor == b"%d" % path.stat().st_size
    # Alone again, as the task hands it over: nothing more is written.
    assert refused_by(exporter, three()[1:2]).cursor == error.cursor
    exporter.close()


def test_http_posts_the_others(tmp_path: Path) -> None:
    with line_target() as target:
        exporter = http(target.url)()
        exporter.open(context())
        assert list(refused_by(exporter, three()).reasons) == [2]
        assert list(refused_by(exporter, three()[1:2]).reasons) == [2]
        exporter.close()
    assert target.positions() == [1, 3]
    assert len(target.posted) == 1


def test_elasticsearch_stores_the_others() -> None:
    with bulk_target() as target:
        exporter = elasticsearch(target.url, "all")()
        exporter.open(context())
        assert list(refused_by(exporter, three()).reasons) == [2]
        exporter.close()
    assert target.positions() == [1, 3]


@pytest.mark.real
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_postgres_stores_the_others() -> None:
    with postgres_server() as server:
        exporter = postgres(server.url, "unsayable")()
        exporter.open(context())
        assert list(refused_by(exporter, three()).reasons) == [2]
        exporter.close()
        assert server.query("SELECT position FROM unsayable ORDER BY position") == [(1,), (3,)]


def pipeline(factory: ExporterFactory, values: list[Any], **options: Any) -> Pipeline:
    filter = RecordFilter(value_types=frozenset({"record"}))
    return (
        Pipeline("p").source("n", ListSource(values)).export("outside", factory, filter=filter, retry=FAST, **options)
    )


def test_the_policy_to_reject_keeps_it_aside_and_the_next_run_cuts_nothing_off(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    # There is a cursor already, and the bad one is the last, so that nothing behind it brings another.
    values = [{"n": 0}, {"n": 1}, PAIR]
    for known in (values[:1], values, values):
        with pipeline(jsonl(path), known).run(tmp_path / "data") as engine:
            assert engine.wait(WAIT_SECONDS)
            assert engine.snapshot().partitions[0].exporters[0].backlog_records == 0
    (kept,) = (tmp_path / "data/rejects/outside.ndjson").read_text().splitlines()
    assert "a pair as a key" in json.loads(kept)["value"]
    assert "JSON cannot say its value" in json.loads(kept)["reason"]
    assert [json.loads(line)["value"]["n"] for line in path.read_text().splitlines()] == [0, 1]


def test_the_policy_to_stop_ends_the_run_with_the_position(tmp_path: Path) -> None:
    with (
        pytest.raises(TaskFailedError, match=r"refuses the record at position \d+: JSON cannot say its value"),
        pipeline(jsonl(tmp_path / "out.ndjson"), [{"n": 0}, PAIR], on_error="stop").run(tmp_path / "data") as engine,
    ):
        engine.wait(WAIT_SECONDS)
