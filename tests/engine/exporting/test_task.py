"""The task of an exporter in a running engine: retries, refusals, pauses, and acknowledging later."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, EngineOptions, Pipeline, Record, RecordFilter, TaskFailedError
from engine.core.clock import NS_PER_MS
from engine.core.errors import RefusedRecordsError, RetryLaterError
from engine.core.snapshot import ExporterSnapshot, ExporterState
from engine.exporting.protocol import Exporter, ExporterContext, Safe
from engine.exporting.retry import RetryPolicy
from engine.exporting.run import Run
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS, wait_until

FAST = RetryPolicy(first_ns=NS_PER_MS, longest_ns=5 * NS_PER_MS)
MEMORY = EngineOptions(storage="memory", export_batch_records=50)
COMMANDS = RecordFilter(value_types=frozenset({"record"}))


def seen(engine: Engine, partition: int = 1) -> ExporterSnapshot:
    return engine.snapshot().partitions[partition - 1].exporters[0]


def values(exporter: CollectingExporter) -> list[Any]:
    return exporter.values("record")


def test_a_target_that_fails_is_seen_in_log_and_snapshot_and_recovers_without_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exporter, down = CollectingExporter(), threading.Event()
    down.set()

    def before(_: Sequence[Record]) -> None:
        if down.is_set():
            raise ConnectionError("no such host")

    exporter.before = before
    pipeline = Pipeline("p").source("n", ListSource(range(300))).export("outside", exporter.factory, retry=FAST)
    with caplog.at_level(logging.INFO, "penstock.exporting"), pipeline.run(tmp_path, options=MEMORY) as engine:
        assert wait_until(lambda: seen(engine).errors >= 3)
        failing = seen(engine)
        assert failing.state is ExporterState.RETRYING
        assert failing.last_error == "ConnectionError: no such host"
        assert failing.last_error_wall_ns is not None
        assert failing.backlog_records > 0
        down.clear()
        assert engine.wait(WAIT_SECONDS)
    assert values(exporter) == list(range(300))
    said = [record.getMessage() for record in caplog.records if record.name == "penstock.exporting"]
    # One line when it fails and one when it recovers, however often it was tried.
    assert [line.split(" at ")[0] for line in said] == [
        "exporter outside on partition 1 fails",
        "exporter outside on partition 1 works again",
    ]


def test_a_record_that_is_refused_for_good_is_kept_aside_after_its_attempts(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    tried: list[list[int]] = []

    def before(records: Sequence[Record]) -> None:
        poisonous = [r for r in records if r.value == 13]
        if poisonous:
            tried.append([r.position for r in records])
            others = [r for r in records if r.value != 13]
            exporter.records.setdefault(1, []).extend(others)
            raise RefusedRecordsError({r.position: "unlucky" for r in poisonous})

    exporter.before = before
    pipeline = (
        Pipeline("p")
        .source("n", ListSource(range(200)))
        .export("outside", exporter.factory, retry=FAST, attempts=3, filter=COMMANDS)
    )
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
        snapshot = engine.snapshot()
    assert sorted(values(exporter)) == [n for n in range(200) if n != 13]
    (poison,) = {position for position in tried[0] if position in tried[1]}
    # All of its batch once, then it alone or with others that come for the first time.
    assert len(tried) >= 3
    assert len(tried[0]) > 1
    assert all(position == poison or position > max(tried[0]) for call in tried[1:] for position in call)
    (kept,) = [json.loads(line) for line in (tmp_path / "rejects" / "outside.ndjson").read_text().splitlines()]
    assert (kept["task"], kept["source"], kept["offset"], kept["reason"]) == (
        "outside",
        "partition 1",
        poison,
        "unlucky",
    )
    assert (kept["value"], kept["partition"], kept["position"], kept["valueType"]) == (13, 1, poison, "record")
    (task,) = [task for task in snapshot.tasks if task.task == "outside"]
    assert task.rejected["error"] == 1
    assert snapshot.partitions[0].exporters[0].exported_records == 199


@pytest.mark.parametrize(("reads_columns", "given"), [(None, list), (False, list), (True, Run)])
def test_only_who_says_that_it_reads_columns_is_given_a_run(
    tmp_path: Path, reads_columns: bool | None, given: type
) -> None:
    exporter = CollectingExporter()

    def factory() -> Exporter:
        made = exporter.factory()
        if reads_columns is not None:
            vars(made)["reads_columns"] = reads_columns
        return made

    kinds: set[type] = set()
    exporter.before = lambda records: kinds.add(type(records))
    pipeline = Pipeline("p").source("n", ListSource(range(120))).export("outside", factory, filter=COMMANDS)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert values(exporter) == list(range(120))
    assert kinds == {given}


def test_a_pipeline_may_stop_rather_than_go_without_a_record(tmp_path: Path) -> None:
    exporter = CollectingExporter()

    def before(records: Sequence[Record]) -> None:
        if any(r.value == 13 for r in records):
            raise RefusedRecordsError({r.position: "unlucky" for r in records if r.value == 13})

    exporter.before = before
    pipeline = (
        Pipeline("p")
        .source("n", ListSource(range(200)))
        .export("outside", exporter.factory, retry=FAST, attempts=2, on_error="stop")
    )
    with (
        pytest.raises(
            TaskFailedError, match=r"exporter outside on partition 1 refuses the record at position \d+: unl"
        ),
        pipeline.run(tmp_path, options=MEMORY) as engine,
    ):
        engine.wait(WAIT_SECONDS)


def test_the_pause_a_target_asks_for_is_kept(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    asked: list[RetryLaterError] = []

    def before(_: Sequence[Record]) -> None:
        if not asked:
            asked.append(RetryLaterError("busy", 150 * NS_PER_MS))
            raise asked[0]

    exporter.before = before
    pipeline = Pipeline("p").source("n", ListSource(range(3))).export("outside", exporter.factory, retry=FAST)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
        (task,) = [task for task in engine.snapshot().tasks if task.task == "outside"]
    # Waiting for a retry is time that others wait for.
    assert task.busy_ns >= 150 * NS_PER_MS
    assert values(exporter) == [0, 1, 2]


def test_a_paused_exporter_stays_where_it_is_also_while_it_fails(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    calls: list[int] = []

    def before(_: Sequence[Record]) -> None:
        calls.append(1)
        raise ConnectionError("down")

    exporter.before = before
    pipeline = Pipeline("p").source("n", ListSource(range(100))).export("outside", exporter.factory, retry=FAST)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert wait_until(lambda: len(calls) > 2)
        engine.pause_exporter("outside", paused=True)
        assert wait_until(lambda: seen(engine).state is ExporterState.PAUSED)
        count = len(calls)
        exporter.before = lambda _: None
        assert seen(engine).backlog_records > 0
        assert len(calls) == count
        engine.pause_exporter("outside", paused=False)
        assert engine.wait(WAIT_SECONDS)
    assert values(exporter) == list(range(100))


class Mailbox:
    """Takes records at once and says later that they are safe: on another thread, when it is let to."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.safe_up_to = 0
        self.opened: list[ExporterContext] = []
        self.on_export: Callable[[], None] = lambda: None
        self.on_ask: Callable[[], None] = lambda: None

    def open(self, context: ExporterContext) -> None:
        self.opened.append(context)

    def export(self, records: Sequence[Record]) -> None:
        self.on_export()
        self.taken += records

    def acknowledged(self) -> Safe | None:
        self.on_ask()
        return Safe(self.safe_up_to, b"%d" % self.safe_up_to) if self.safe_up_to else None

    def close(self) -> None:
        return


def test_who_acknowledges_later_is_given_more_meanwhile_and_counts_when_it_says_so(tmp_path: Path) -> None:
    mailbox = Mailbox()
    pipeline = Pipeline("p").source("n", ListSource(range(500))).export("outside", lambda: mailbox, filter=COMMANDS)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert wait_until(lambda: len(mailbox.taken) == 500)
        assert seen(engine).acknowledged_position < mailbox.taken[0].position
        assert not engine.wait(0.2), "a run ends when everything is acknowledged"
        mailbox.safe_up_to = mailbox.taken[249].position
        assert wait_until(lambda: seen(engine).acknowledged_position >= mailbox.taken[0].position)
        assert seen(engine).acknowledged_position <= mailbox.safe_up_to
        mailbox.safe_up_to = mailbox.taken[-1].position
        assert engine.wait(WAIT_SECONDS)
    assert [r.value for r in mailbox.taken] == list(range(500))


def test_what_nobody_wants_is_acknowledged_at_once_by_who_acknowledges_later(tmp_path: Path) -> None:
    mailbox = Mailbox()
    wanted = RecordFilter(value_types=frozenset({"nothing of the kind"}))
    pipeline = Pipeline("p").source("n", ListSource(range(100))).export("outside", lambda: mailbox, filter=wanted)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert mailbox.taken == []


# As batches of the log come, and one of them cut into ten parts.
@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("where", ["export", "ask"])
def test_after_a_failure_everything_unacknowledged_comes_again(tmp_path: Path, where: str, is_cut: bool) -> None:
    mailbox = Mailbox()
    failures = [ConnectionError("gone")]

    def fail_once() -> None:
        if len(mailbox.taken) >= 200 and failures:
            mailbox.safe_up_to = mailbox.taken[49].position
            raise failures.pop()
        if not failures:
            mailbox.safe_up_to = max((r.position for r in mailbox.taken), default=0)

    if where == "export":
        mailbox.on_export = fail_once
    else:
        mailbox.on_ask = fail_once
    pipeline = (
        Pipeline("p")
        .source("n", ListSource(range(500), batch=500) if is_cut else ListSource(range(500)))
        .export("outside", lambda: mailbox, filter=COMMANDS, retry=FAST)
    )
    options = EngineOptions(storage="memory", export_batch_records=50) if is_cut else MEMORY
    with pipeline.run(tmp_path, options=options) as engine:
        assert wait_until(lambda: not failures)
        mailbox.on_ask = lambda: setattr(mailbox, "safe_up_to", max(r.position for r in mailbox.taken))
        assert engine.wait(WAIT_SECONDS)
    positions = [r.position for r in mailbox.taken]
    assert sorted({r.value for r in mailbox.taken}) == list(range(500))
    (back,) = [i for i in range(1, len(positions)) if positions[i] <= positions[i - 1]]
    assert positions[:back] == sorted(positions[:back])
    assert positions[back:] == sorted(positions[back:])


class Shortened:
    """Keeps how long it is as its cursor, says so only of calls that made it longer, and refuses 13."""

    def __init__(self) -> None:
        self.length = 0
        self.opened_at: list[bytes | None] = []

    def open(self, context: ExporterContext) -> None:
        self.opened_at.append(context.cursor)

    def export(self, records: Sequence[Record]) -> bytes | None:
        good = [record for record in records if record.value != 13]
        self.length += len(good)
        cursor = b"%d" % self.length if good else None
        if len(good) < len(records):
            raise RefusedRecordsError({r.position: "no" for r in records if r.value == 13}, cursor)
        return cursor

    def close(self) -> None:
        return


def test_the_cursor_of_a_call_that_was_refused_in_part_is_kept_when_the_rest_is_refused_too(tmp_path: Path) -> None:
    shortened = Shortened()
    pipeline = (
        Pipeline("p")
        .source("n", ListSource(range(20), batch=20))
        .export("outside", lambda: shortened, filter=COMMANDS, retry=FAST)
    )
    for _ in range(2):
        with pipeline.run(tmp_path) as engine:
            assert engine.wait(WAIT_SECONDS)
    assert shortened.opened_at == [None, b"19"]
