"""Documents through the bulk API, against our own stub of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from engine.core.errors import ConfigurationError, RefusedRecordsError, RetryLaterError, TargetError
from engine.exporting.elasticsearch import Elasticsearch, elasticsearch
from tests.support.records import context, record, records
from tests.support.targets.http_target import BulkTarget, Reply, bulk_target


@pytest.fixture
def target() -> Iterator[BulkTarget]:
    with bulk_target() as target:
        yield target


def opened(target: BulkTarget, index: str = "flights-{valueType}", **options: Any) -> Elasticsearch:
    exporter = elasticsearch(f"{target.url}/es", index, **options)()
    exporter.open(context(2))
    return exporter


def test_each_record_is_a_document_under_its_place(target: BulkTarget) -> None:
    opened(target).export([record(7), record(8, value_type="Late Arrival")])
    assert target.posted[0].path == "/es/_bulk"
    assert list(target.documents) == [("flights-departure", "2-7"), ("flights-late-arrival", "2-8")]
    assert target.documents["flights-departure", "2-7"]["value"] == {"n": 7}


def test_the_same_record_again_replaces_itself(target: BulkTarget) -> None:
    exporter = opened(target)
    exporter.export(records(1, 3))
    exporter.export(records(1, 3))
    assert target.positions(2) == [1, 2, 3]
    assert len(target.ids) == 6


def test_of_a_half_accepted_bulk_only_the_rest_is_sent_again(target: BulkTarget) -> None:
    target.judge = lambda document: (429, "queue is full") if document["position"] % 2 else None
    exporter = opened(target)
    with pytest.raises(RetryLaterError, match="too busy for all documents: 429 stub_exception: queue is full"):
        exporter.export(records(1, 6))
    target.judge = lambda _: None
    exporter.export(records(1, 6))
    assert target.ids == ["2-2", "2-4", "2-6", "2-1", "2-3", "2-5"]


def test_a_document_that_is_not_liked_is_refused_alone(target: BulkTarget) -> None:
    target.judge = lambda document: (400, "n is no number") if document["position"] == 4 else None
    with pytest.raises(RefusedRecordsError) as raised:
        opened(target).export(records(1, 6))
    assert raised.value.reasons == {4: "400 stub_exception: n is no number"}
    assert target.positions(2) == [1, 2, 3, 5, 6]


def test_refused_and_busy_documents_of_one_bulk_are_told_apart(target: BulkTarget) -> None:
    verdicts = {2: (400, "never"), 3: (429, "later"), 4: (503, "broken")}
    target.judge = lambda document: verdicts.get(document["position"])
    exporter = opened(target)
    with pytest.raises(TargetError, match="503 stub_exception: broken"):
        exporter.export(records(1, 5))
    del verdicts[4], verdicts[3]
    with pytest.raises(RefusedRecordsError) as raised:
        exporter.export(records(1, 5))
    assert list(raised.value.reasons) == [2]
    assert target.ids == ["2-1", "2-5", "2-3", "2-4"]


def test_a_bulk_has_a_size_at_most(target: BulkTarget) -> None:
    exporter = opened(target)
    exporter._bulk_bytes_max = 1000
    exporter.export([record(n, {"text": "x" * 300}) for n in range(1, 8)])
    assert len(target.posted) >= 3
    assert all(len(posted.body) <= 1000 for posted in target.posted)
    assert target.positions(2) == list(range(1, 8))


def test_a_bulk_that_is_too_large_all_the_same_is_halved(target: BulkTarget) -> None:
    target.behave = lambda posted: Reply(413) if len(posted.body.splitlines()) > 4 else None
    opened(target).export(records(1, 7))
    assert target.ids == [f"2-{n}" for n in range(1, 8)]


def test_a_record_that_is_too_large_alone_is_refused(target: BulkTarget) -> None:
    target.behave = lambda posted: Reply(413) if b"large" in posted.body else None
    with pytest.raises(RefusedRecordsError) as raised:
        opened(target).export([record(1), record(2, {"text": "large"}), record(3)])
    assert list(raised.value.reasons) == [2]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"<html>", "does not answer as the bulk API does"),
        (b'{"items": []}', "answers for 0 documents, 2 were sent"),
        (b'{"items": [{"delete": {"status": 200}}, 3]}', "does not answer as the bulk API does"),
    ],
)
def test_an_answer_of_something_else_is_the_targets_fault(target: BulkTarget, answer: bytes, sentence: str) -> None:
    target.behave = lambda _: Reply(200, answer)
    with pytest.raises(TargetError, match=sentence):
        opened(target).export(records(1, 2))
    assert not target.documents


def test_who_it_is_is_said_by_user_or_by_key(target: BulkTarget) -> None:
    opened(target, username="penstock", password="s3cret").export(records(1, 1))
    opened(target, api_key="abc==").export(records(2, 2))
    assert [p.headers["authorization"] for p in target.posted] == ["Basic cGVuc3RvY2s6czNjcmV0", "ApiKey abc=="]
    with pytest.raises(ConfigurationError, match="not both"):
        elasticsearch(target.url, username="a", api_key="b")


@pytest.mark.parametrize("index", ["", "Flights", "a b", "-x", "a/b", "{other}*"])
def test_a_name_that_no_index_can_have_is_said_before_anything_runs(index: str) -> None:
    with pytest.raises(ConfigurationError, match="an index is named"):
        elasticsearch("http://localhost:9200", index)


def test_the_lines_of_a_bulk_are_action_and_document_in_turn(target: BulkTarget) -> None:
    opened(target, "all").export(records(1, 2))
    lines = [json.loads(line) for line in target.posted[0].body.splitlines()]
    assert [line.get("index") for line in lines[::2]] == [
        {"_index": "all", "_id": "2-1"},
        {"_index": "all", "_id": "2-2"},
    ]
    assert [line["position"] for line in lines[1::2]] == [1, 2]
