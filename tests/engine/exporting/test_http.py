"""Batches of lines to a URL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError, RefusedRecordsError, RetryLaterError, TargetError
from engine.exporting.http import HttpLines, http
from tests.support.records import context, record, records
from tests.support.targets.http_target import LineTarget, Posted, Reply, line_target


@pytest.fixture
def target() -> Iterator[LineTarget]:
    with line_target() as target:
        yield target


@pytest.fixture
def exporter(target: LineTarget) -> Iterator[HttpLines]:
    exporter = http(f"{target.url}/in?of=them", headers={"x-team": "delays"})()
    exporter.open(context())
    yield exporter
    exporter.close()


def test_a_batch_is_one_post_of_lines_that_says_what_is_in_it(target: LineTarget, exporter: HttpLines) -> None:
    exporter.export(records(3, 5))
    (posted,) = target.posted
    assert posted.path == "/in?of=them"
    assert posted.headers["x-team"] == "delays"
    assert posted.headers["content-type"] == "application/x-ndjson"
    assert posted.headers["penstock-partition"] == "1"
    assert (posted.headers["penstock-first-position"], posted.headers["penstock-last-position"]) == ("3", "5")
    assert target.lines[0] == {
        "position": 3,
        "partition": 1,
        "timestamp": 1_700_000_000_123,
        "recordType": "event",
        "valueType": "departure",
        "intent": "departed",
        "key": "JFK",
        "value": {"n": 3},
        "sourcePosition": 2,
    }


def test_a_body_that_is_not_liked_is_halved_until_the_record_to_blame_is_alone(
    target: LineTarget, exporter: HttpLines
) -> None:
    target.behave = lambda posted: Reply(422, b"no thirteens") if b'"n":13' in posted.body else None
    with pytest.raises(RefusedRecordsError) as raised:
        exporter.export(records(1, 20))
    assert list(raised.value.reasons) == [13]
    assert raised.value.reasons[13].endswith("answers 422: no thirteens")
    assert target.positions() == [p for p in range(1, 21) if p != 13]
    # Alone again, as the task hands it over: still refused, and nothing else is sent.
    sent = len(target.posted)
    with pytest.raises(RefusedRecordsError):
        exporter.export(records(13, 13))
    assert len(target.posted) == sent + 1


def test_what_was_taken_before_a_failure_is_not_sent_again(target: LineTarget, exporter: HttpLines) -> None:
    def behave(posted: Posted) -> Reply | None:
        if len(posted.body.splitlines()) > 4:
            return Reply(413)
        return Reply(500) if b'"position":5' in posted.body else None

    target.behave = behave
    with pytest.raises(TargetError, match="answers 500"):
        exporter.export(records(1, 8))
    assert target.positions() == [1, 2, 3, 4]
    target.behave = lambda _: None
    exporter.export(records(1, 8))
    assert target.positions() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(("written", "seconds"), [("7", 7), ("", 0), ("soon", 0)])
def test_a_busy_target_says_when_to_come_back(
    target: LineTarget, exporter: HttpLines, written: str, seconds: int
) -> None:
    target.behave = lambda _: Reply(429, headers={"retry-after": written} if written else {})
    with pytest.raises(RetryLaterError) as raised:
        exporter.export(records(1, 2))
    assert raised.value.after_ns == seconds * NS_PER_SECOND


@pytest.mark.parametrize("status", [301, 401, 404, 500, 502])
def test_any_other_answer_is_the_targets_fault_and_not_the_records(
    target: LineTarget, exporter: HttpLines, status: int
) -> None:
    target.behave = lambda _: Reply(status, headers={"location": "/elsewhere"})
    with pytest.raises(TargetError, match=f"answers {status}"):
        exporter.export(records(1, 2))


def test_a_target_that_hangs_is_given_up_in_time(target: LineTarget) -> None:
    target.behave = lambda _: Reply(200, hold=target.hold)
    exporter = http(target.url, timeout_ns=300 * NS_PER_MS)()
    exporter.open(context())
    with pytest.raises(TargetError, match="does not answer in time"):
        exporter.export(records(1, 2))


def test_a_target_that_is_not_there_is_one_sentence_without_passwords(target: LineTarget) -> None:
    target.stop()
    exporter = http(f"http://me:secret@127.0.0.1:{target.port}/in?token=secret")()
    exporter.open(context())
    with pytest.raises(TargetError) as raised:
        exporter.export([record(1)])
    assert str(raised.value).startswith(f"http://127.0.0.1:{target.port}/in cannot be reached")
    assert "secret" not in str(raised.value)
    exporter.close()


def test_a_target_that_comes_back_is_found_again(target: LineTarget, exporter: HttpLines) -> None:
    exporter.export(records(1, 1))
    target.stop()
    with pytest.raises((TargetError, RetryLaterError)):
        exporter.export(records(2, 2))
    target.start()
    exporter.export(records(2, 2))
    assert target.positions() == [1, 2]


@pytest.mark.parametrize("url", ["ftp://there", "not a url", "http://", "http://[::"])
def test_an_address_that_cannot_be_one_is_said_before_anything_runs(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no URL"):
        http(url)


def test_bytes_are_text_where_they_can_be(target: LineTarget, exporter: HttpLines) -> None:
    exporter.export([record(1, "Zürich".encode()), record(2, b"\xff")])
    assert [json.loads(line)["value"] for line in target.posted[0].body.splitlines()] == ["Zürich", {"base64": "/w=="}]
