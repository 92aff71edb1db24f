"""Faults as an operator meets them: what log lines, API and metrics say of each, during it and after it.

`test_faults.py` has the same faults from inside: that nothing is lost.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import (
    AimdSettings,
    DataFolderError,
    Engine,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    Record,
    RequestLimitSettings,
    SystemClock,
    TaskFailedError,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.core.clock import NS_PER_SECOND
from engine.log.local.inspection import Inspection
from engine.log.local.repair import repair
from engine.processing.protocol import ProcessingContext
from engine.runtime.data_folder import DataFolder
from engine.sources.protocol import SourceBatch
from tests.support.full_disk import KEEP_ALL, KINDS, FullDisk, little_room
from tests.support.logs import change, damage, first_of_batch
from tests.support.lookout import Lookout, looking_at
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.prometheus import free_port
from tests.support.waiting import WAIT_SECONDS, wait_until

RECORDS = 3000
VALUES = [{"n": n, "filling": "x" * 1000} for n in range(RECORDS)]
HOUR_NS = 3600 * NS_PER_SECOND


def numbers(exporter: CollectingExporter, value_type: str = "record") -> list[int]:
    return sorted(value["n"] for value in exporter.values(value_type))


def exporting(exporter: CollectingExporter, *, endless: bool = False) -> Pipeline:
    source = ListSource(VALUES, batch=50, endless=endless)
    return Pipeline("p").source("n", source).export("all", exporter.factory)


def is_well(seen: Lookout) -> bool:
    """The port says that the engine runs and nothing is out of the ordinary."""
    return seen.health() == (200, "UP", "the engine is running", []) and seen.is_ready() and seen.is_alive()


def moved(seen: Lookout, name: str, **labels: str) -> bool:
    """Waits until a counter or a position has grown."""
    before = seen.count(name, **labels)
    return wait_until(lambda: seen.count(name, **labels) > before)


def has_ended_well(seen: Lookout) -> bool:
    return seen.count("penstock_engine_state", state="finished") == 1 and seen.health()[1:] == (
        "UP",
        "the engine is finished",
        [],
    )


# -- the disk ---


@pytest.fixture(params=KINDS)
def full_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FullDisk]:
    with little_room(request.param, tmp_path) as found:
        yield found


def test_a_full_disk_is_one_line_a_note_and_a_count_and_its_end_is_told_too(
    full_disk: FullDisk, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = CollectingExporter()
    engine = full_disk.engine(exporting(exporter))
    with looking_at(engine, caplog) as seen, engine:
        failures = "penstock_append_failures_total"
        assert wait_until(lambda: seen.count(failures, partition="1", reason="disk_full") >= 3)
        # The log: not each time that it is tried.
        full = f"partition 1 could not store a write: {full_disk.words}; it is tried again"
        lines = seen.lines("could not store a write")
        assert set(lines) == {f"{full} until it is stored"}
        assert len(lines) < seen.count(failures, reason="disk_full")
        # The API: up, for a restart would mend nothing, and the note says what is wrong.
        assert wait_until(lambda: seen.health() == (200, "UP", "the engine is running", [full]))
        assert seen.is_ready()
        # The metrics: failures rise, the position stands, and nobody takes it for another reason.
        assert moved(seen, failures, reason="disk_full")
        written = seen.count("penstock_last_written_position")
        assert 0 < written < RECORDS
        assert seen.count(failures, reason="io_error") == seen.count(failures, reason="storage_error") == 0
        assert 0 <= seen.count("penstock_disk_free_bytes") <= full_disk.size_bytes
        assert seen.count("penstock_engine_state", state="running") == 1

        full_disk.make_room()
        assert engine.wait(WAIT_SECONDS)
        assert has_ended_well(seen)
        assert seen.count("penstock_last_written_position") > RECORDS
        assert seen.count("penstock_exporting_backlog_records") == 0
        over = seen.lines("partition 1: writes are stored again; they failed for ")
        assert len(over) == len(seen.lines("could not store a write"))
    assert numbers(exporter) == list(range(RECORDS))


def test_a_disk_that_is_nearly_full_holds_the_sources_and_says_so_everywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free = shutil.disk_usage(tmp_path).free
    exporter = CollectingExporter()
    # More is wanted than there is, by far less than three quarters: the first of the two steps.
    engine = exporting(exporter).run(tmp_path, options=EngineOptions(free_space_bytes=free + free // 4))
    with looking_at(engine, caplog) as seen, engine:
        note = "disk space is low: log-writer/0 waits for room"
        assert wait_until(lambda: seen.notes() == [note])
        assert seen.health()[:2] == (200, "UP")
        (line,) = seen.lines("disk space is low, sources wait: ")
        assert line.endswith(" MB are wanted")
        assert [subtask["state"] for subtask in seen.subtasks("log-writer")] == ["disk_full"]
        held = "penstock_task_back_pressured_seconds_total"
        assert moved(seen, held, task="log-writer", reason="disk_full")
        assert 0 < seen.count("penstock_disk_free_bytes") < free + free // 4
        assert seen.count("penstock_append_failures_total") == 0
        # The record that the partition was opened, and no other.
        assert seen.count("penstock_last_written_position") == 1

        # The disk grows: as the ticker sees it, less is wanted.
        assert engine._ticker is not None
        engine._ticker._free_space_bytes = 0
        assert engine.wait(WAIT_SECONDS)
        assert has_ended_well(seen)
        (line,) = seen.lines("there is disk space again, everything goes on: ")
    assert numbers(exporter) == list(range(RECORDS))


# -- damage ---


@pytest.fixture
def options() -> EngineOptions:
    return KEEP_ALL


def lies_in(folder: Path) -> Path:
    return folder / "partitions" / "1"


def folder_of(path: Path) -> Path:
    return path.parent.parent


def inspected(folder: Path) -> Inspection:
    return Inspection(1, lies_in(folder), DataFolder(folder).identity(1))


def filled(folder: Path, options: EngineOptions) -> Path:
    """A log of all values that nobody has exported yet; returns where it lies."""
    held = CollectingExporter()
    held.open_gate.clear()
    with exporting(held).run(folder, options=options) as engine:
        assert wait_until(lambda: engine.snapshot().partitions[0].last_written_position > RECORDS)
        held.closed = -1
        engine.stop(drain=False)
    return lies_in(folder)


def damaged_batch(path: Path, position: int) -> int:
    """Damages the batch that holds `position`; returns where it begins."""
    first, _ = first_of_batch(path, position)
    damage(path, first)
    return first


def test_a_damaged_batch_fails_the_partition_with_its_position_until_it_is_repaired(
    tmp_path: Path, options: EngineOptions, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(tmp_path, options)
    first = damaged_batch(path, 1500)
    exporter = CollectingExporter()
    engine = exporting(exporter).run(tmp_path, options=options)
    with looking_at(engine, caplog) as seen:
        engine.start()
        with pytest.raises(TaskFailedError):
            engine.wait(WAIT_SECONDS)
        place = f"partition 1: batch at position {first} is damaged: its checksum does not match its content"
        # The log: which task, and the error with its place.
        (line,) = seen.lines("task all/0 failed")
        (failed,) = (record for record in caplog.records if record.getMessage() == line)
        assert failed.exc_info is not None
        assert str(failed.exc_info[1]) == place
        # The API and the metrics, as long as somebody keeps the port open.
        assert seen.health() == (503, "DOWN", f"task all/0 stopped the run: {place}", [])
        assert (seen.is_ready(), seen.is_alive()) == (False, True)
        assert seen.get("/api/back-pressure")["state"] == "failed"
        assert seen.count("penstock_engine_state", state="failed") == 1
        assert seen.count("penstock_partition_state", partition="1", state="failed") == 1
        assert seen.count("penstock_exporter_last_acknowledged_position") < first
        assert wait_until(lambda: [subtask["status"] for subtask in seen.subtasks("all")] == ["failed"])

    with inspected(folder_of(path)) as inspection:
        damages = inspection.verify().damages
    assert [damaged.first_position for damaged in damages] == [first]
    repair(path, damages, DataFolder(folder_of(path)).identity(1))
    lost = sum(damaged.records for damaged in damages)
    caplog.clear()
    with looking_at(exporting(exporter).run(tmp_path, options=options).start(), caplog) as seen:
        assert wait_until(lambda: seen.count("penstock_engine_state", state="finished") == 1)
        assert has_ended_well(seen)
        assert seen.count("penstock_partition_state", state="failed") == 0
        assert seen.count("penstock_exporting_backlog_records") == 0
        assert seen.lines() == []
    assert len(set(numbers(exporter))) == RECORDS - lost


def test_a_torn_tail_is_no_failure_and_only_the_positions_tell_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Without a sync a commit, for what was synced before it was acknowledged is not torn by a loss of power.
    options = replace(KEEP_ALL, synchronous="NORMAL")
    held = CollectingExporter()
    held.open_gate.clear()
    running, image = tmp_path / "running", tmp_path / "image"
    with exporting(held).run(running, options=options) as engine:
        assert wait_until(lambda: engine.snapshot().partitions[0].last_written_position > 500)
        # As a loss of power would leave it: the database, and what is written ahead up to some byte.
        shutil.copytree(running, image)
        held.closed = -1
        engine.stop(drain=False)
    whole = tmp_path / "whole"
    shutil.copytree(image, whole)
    with inspected(whole) as inspection:
        before = inspection.overview().last_position
    (ahead,) = image.glob("partitions/1/*.log")
    for index in image.rglob("*.db-shm"):
        index.unlink()
    os.truncate(ahead, ahead.stat().st_size * 2 // 3)

    exporter = CollectingExporter()
    exporter.open_gate.clear()
    again = Pipeline("p").source("n", Later(ListSource(VALUES, batch=50))).export("all", exporter.factory)
    engine = again.run(image, options=options)
    with looking_at(engine, caplog) as seen, engine:
        # What is left, and the record that the partition was opened once more.
        left = seen.count("penstock_last_written_position")
        assert left - 1 < before, "something was torn off"
        assert is_well(seen)
        assert seen.count("penstock_partition_state", partition="1", state="running") == 1
        Later.go_on.set()
        exporter.open_gate.set()
        assert engine.wait(WAIT_SECONDS)
        assert has_ended_well(seen)
        assert seen.lines() == []
        # Dense: the values and two records that the partition was opened, unless the first was torn off, too.
        assert seen.count("penstock_last_written_position") == RECORDS + (2 if left > 1 else 1)
    assert numbers(exporter) == list(range(RECORDS))


class Later:
    """Another source that brings nothing before it may."""

    go_on = threading.Event()

    def __init__(self, source: ListSource) -> None:
        self._source = source
        self.go_on.clear()
        self.describe, self.check, self.open, self.close = source.describe, source.check, source.open, source.close

    def read(self, max_values: int) -> Any:
        self.go_on.wait(WAIT_SECONDS)
        return self._source.read(max_values)


# -- another format ---


def with_format(data: Path, where: str, version: int) -> Path:
    """A data folder as another version would leave it; returns what tells its version."""
    with exporting(CollectingExporter()).run(data, options=KEEP_ALL) as engine:
        assert engine.wait(WAIT_SECONDS)
    if where == "folder":
        file = data / "penstock.json"
        file.write_text(file.read_text().replace('"format":2', f'"format":{version}'))
    else:
        file = data / "partitions" / "1" / "state.db"
        change(file, "UPDATE meta SET value = ? WHERE key = 'format'", version)
    return file


@pytest.mark.parametrize(
    ("where", "version", "ours"), [("folder", 1, 2), ("folder", 3, 2), ("partition", 1, 2), ("partition", 3, 2)]
)
def test_over_another_format_nothing_starts_and_the_port_says_so(
    tmp_path: Path, where: str, version: int, ours: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = with_format(tmp_path, where, version)
    before = file.read_bytes()
    engine = exporting(CollectingExporter()).run(tmp_path)
    with looking_at(engine, caplog) as seen:
        with pytest.raises(DataFolderError, match=f"has format {version}, this version reads format {ours}"):
            engine.start()
        assert seen.health()[:3] == (200, "UP", "the engine is starting")
        assert (seen.is_ready(), seen.is_alive()) == (False, True)
        assert seen.count("penstock_engine_state", state="running") == 0
        assert seen.metric("penstock_last_written_position") is None, "nothing was read"
    assert file.read_bytes() == before


@pytest.mark.parametrize(("where", "version", "ours"), [("folder", 1, 2), ("partition", 3, 2)])
def test_the_command_over_another_format_ends_with_a_sentence_and_no_trace(
    tmp_path: Path, where: str, version: int, ours: int
) -> None:
    with_format(tmp_path / "data", where, version)
    (tmp_path / "values.ndjson").write_text('{"n": 1}\n')
    job = {
        "pipeline": {"name": "p", "sources": {"n": {"lines": {"path": "values.ndjson"}}}},
        "data": "data",
        "management": {"port": free_port()},
    }
    # JSON is YAML.
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    command = [sys.executable, "-m", "penstock", "run", "job.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("penstock: ")
    assert f"has format {version}, this version reads format {ours}; use the version that wrote it" in said
    assert "Traceback" not in ended.stderr
    assert (ended.returncode, ended.stdout) == (2, "")


# -- the wall clock jumps ---


class TurnableClock(SystemClock):
    """The machine's clocks, which a test turns: the wall clock alone, or both forward."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped_ns = self.passed_ns = 0
        wall_ns, monotonic_ns = self.wall_ns, self.monotonic_ns
        self.wall_ns = lambda: wall_ns() + self.jumped_ns + self.passed_ns
        self.monotonic_ns = lambda: monotonic_ns() + self.passed_ns


THROTTLED = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=2000,
        throttling=ThrottlingSettings(
            enabled=True, acceptable_backlog=1000, minimum_limit=50, resolution_ns=NS_PER_SECOND // 10
        ),
    )
)


class Tap(ListSource):
    """Brings values while it is open."""

    def __init__(self, values: Sequence[Any], *, batch: int, endless: bool) -> None:
        super().__init__(values, batch=batch, endless=endless)
        self.is_open = threading.Event()
        self.is_open.set()

    def read(self, max_values: int) -> SourceBatch | None:
        return super().read(max_values if self.is_open.is_set() else 0)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_of_the_wall_clock_is_seen_in_no_limit_no_rate_and_no_time_that_was_spent(
    tmp_path: Path, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = TurnableClock()
    exporter = CollectingExporter()
    # It stands still at first, so that the partition is throttled.
    exporter.open_gate.clear()
    tap = Tap([{"n": n} for n in range(500_000)], batch=50, endless=True)
    pipeline = Pipeline("p").source("n", tap).export("all", exporter.factory)
    began_ns = clock.monotonic_ns()
    engine = Engine(pipeline, tmp_path, clock=clock, flow_control=THROTTLED)
    with looking_at(engine, caplog, clock=clock) as seen, engine:
        assert wait_until(lambda: seen.count("penstock_throttled") == 1)
        clock.jumped_ns = hours * HOUR_NS
        # The throttle is evaluated again and again, and writing goes on at its rate.
        assert moved(seen, "penstock_throttled_seconds_total")
        assert moved(seen, "penstock_last_written_position")
        assert 50 <= seen.count("penstock_write_rate_limit_records_per_second") <= 2000
        assert is_well(seen)
        told = seen.get("/api/flow-control")["partitions"]["1"]["effective"]
        assert told["writeLimitMax"] == 2000
        exporter.open_gate.set()
        assert moved(seen, "penstock_exported_records_total")
        tap.is_open.clear()
        assert wait_until(lambda: seen.count("penstock_throttled") == 0), "and it ends"
        # No time that was counted holds the hour, and none is negative.
        lived = (clock.monotonic_ns() - began_ns) / NS_PER_SECOND
        assert 0 < seen.count("penstock_throttled_seconds_total") <= lived
        for task in ("n", "log-writer", "all"):
            for kind in ("busy", "idle", "back_pressured"):
                assert 0 <= seen.count(f"penstock_task_{kind}_seconds_total", task=task) <= lived + 60
        assert 0 <= seen.count("penstock_append_duration_seconds_sum") <= lived + 60
        assert 0 <= seen.count("penstock_snapshot_age_seconds") < 60
        # What was written before the jump is never told to be of the future.
        oldest = seen.count("penstock_oldest_unexported_record_timestamp_seconds")
        assert oldest <= clock.wall_ns() / NS_PER_SECOND
        times = seen.get("/api/history")["times"]
        assert times == sorted(set(times))
        # A throttle that begins or ends is said; the jump is not.
        assert [line for line in seen.lines() if "throttl" not in line and "limit" not in line] == []
        engine.stop(drain=False)


# -- the processor ---


class Moody:
    """Does with each command what a test says, then emits its number."""

    def __init__(self, mood: Callable[[int], object]) -> None:
        self._mood = mood

    def process(self, record: Record, context: ProcessingContext) -> None:
        self._mood(record.value["n"])
        context.emit("done", {"n": record.value["n"]})


def moody(mood: Callable[[int], object], exporter: CollectingExporter, **how: Any) -> Pipeline:
    return (
        Pipeline("p", partitions=2)
        .source("n", ListSource(VALUES, batch=50))
        .process(lambda: Moody(mood), key="n", **how)
        .export("all", exporter.factory)
    )


def test_a_processor_that_raises_is_a_line_and_a_count_for_each_record_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries: dict[int, int] = {}

    def raise_sometimes(n: int) -> None:
        if n % 300 == 0:
            tries[n] = tries.get(n, 0) + 1
            # Every other one succeeds at its third and last try.
            if n % 600 == 0 or tries[n] < 3:
                raise ValueError(f"not {n}")

    exporter = CollectingExporter()
    engine = moody(raise_sometimes, exporter).run(tmp_path)
    with looking_at(engine, caplog) as seen, engine:
        assert engine.wait(WAIT_SECONDS)
        refused = list(range(0, RECORDS, 600))
        lines = seen.lines(": ValueError: not ")
        # The first at once; what comes within ten seconds behind it is told together.
        assert 1 <= len(lines) <= len(refused)
        assert all(int(line.partition(": not ")[2].split()[0]) in refused for line in lines)
        assert all(line.startswith(("processor: partition 1 at ", "processor: partition 2 at ")) for line in lines)
        assert all("is kept aside in " in line for line in lines)
        assert seen.lines() == lines
        assert has_ended_well(seen)
        rejected = "penstock_rejected_records_total"
        assert seen.count(rejected, task="processor", reason="error") == len(refused)
        assert seen.count(rejected, reason="processor") == 0
        assert {subtask["status"] for subtask in seen.subtasks("processor")} == {"finished"}
    assert numbers(exporter, "done") == [n for n in range(RECORDS) if n % 600]


def test_a_processor_that_raises_and_must_not_fails_its_own_partition_with_the_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    def raise_once(n: int) -> None:
        if broken and n == 2345:
            raise ValueError("not today")

    exporter = CollectingExporter()
    engine = moody(raise_once, exporter, on_error="stop").run(tmp_path)
    with looking_at(engine, caplog) as seen:
        engine.start()
        with pytest.raises(TaskFailedError) as caught:
            engine.wait(WAIT_SECONDS)
        status, verdict, reason, _ = seen.health()
        assert (status, verdict, reason) == (503, "DOWN", str(caught.value))
        place = " failed with ValueError: not today"
        assert reason.endswith(place)
        task, number = reason.removeprefix("task ").split()[0], int(reason.split("partition ")[1].split(",")[0])
        assert task == f"processor/{number - 1}"
        assert len(seen.lines(f"task {task} failed")) == 1
        assert (seen.is_ready(), seen.is_alive()) == (False, True)
        assert seen.count("penstock_partition_state", partition=f"{number}", state="failed") == 1
        assert seen.count("penstock_partition_state", partition=f"{3 - number}", state="failed") == 0
        assert seen.count("penstock_rejected_records_total") == 0
    broken = False
    caplog.clear()
    engine = moody(raise_once, exporter, on_error="stop").run(tmp_path)
    with looking_at(engine, caplog) as seen, engine:
        assert engine.wait(WAIT_SECONDS)
        assert has_ended_well(seen)
        assert seen.lines() == []
    assert sorted(set(numbers(exporter, "done"))) == list(range(RECORDS))


def few_requests(limit: int) -> FlowControlSettings:
    aimd = AimdSettings(initial_limit=limit, min_limit=limit, max_limit=limit)
    return FlowControlSettings(
        # Cuts writers' batches to 200 records and units to as many.
        write=WriteLimitSettings(enabled=True, limit=2000),
        request=RequestLimitSettings(enabled=True, use_windowed=False, aimd=aimd),
    )


def test_a_processor_that_hangs_for_a_minute_is_said_with_its_position_and_holds_its_own_partition_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hanging, go_on = threading.Event(), threading.Event()
    stuck: list[int] = []

    class Hanging:
        def process(self, record: Record, context: ProcessingContext) -> None:
            if record.value["n"] == 500 and not go_on.is_set():
                stuck.append(context.partition)
                hanging.set()
                go_on.wait(4 * WAIT_SECONDS)
            context.emit("done", {"n": record.value["n"]})

    # No test waits for a minute: it passes on the clock of the engine and of the port.
    clock = TurnableClock()
    exporter = CollectingExporter()
    source = ListSource(VALUES, batch=50)
    pipeline = Pipeline("p", partitions=2).source("n", source).process(Hanging, key="n").export("all", exporter.factory)
    engine = Engine(pipeline, tmp_path, clock=clock, flow_control=few_requests(4))
    with looking_at(engine, caplog, clock=clock) as seen, engine:
        assert hanging.wait(WAIT_SECONDS)
        (number,) = stuck
        held, partition = number - 1, f"{number}"
        assert wait_until(lambda: seen.subtasks("log-writer")[held]["state"] == "request_limit")
        position = int(seen.count("penstock_last_processed_position", partition=partition)) + 1
        busy = seen.count("penstock_task_busy_seconds_total", task="processor", subtask=f"{held}")
        # The log says where it hangs, once the ticker has seen it there for long.
        said = f"the processor of partition {number} has been at position "

        def passes_a_minute() -> bool:
            clock.passed_ns += 60 * NS_PER_SECOND
            return wait_until(lambda: seen.lines(said), 2)

        assert any(passes_a_minute() for _ in range(20))
        at = int(seen.lines(said)[0].removeprefix(said).split(" ")[0])
        assert at >= position
        # The API: alive and ready, for the rest goes on; the note says the same as the log.
        assert seen.health()[:2] == (200, "UP")
        assert (seen.is_ready(), seen.is_alive()) == (True, True)
        assert wait_until(lambda: [note.startswith(f"{said}{at} for ") for note in seen.notes()] == [True])
        processor = seen.subtasks("processor")[held]
        assert (processor["state"], processor["status"]) == ("busy", "running")
        # The metrics: busy all the time, its position stands, its writers are held back, nothing fails.
        grown = seen.count("penstock_task_busy_seconds_total", task="processor", subtask=f"{held}") - busy
        assert grown >= 60
        assert seen.count("penstock_last_processed_position", partition=partition) == position - 1
        assert seen.count("penstock_last_written_position", partition=partition) >= at
        blocked = "penstock_task_back_pressured_seconds_total"
        assert moved(seen, blocked, task="log-writer", subtask=f"{held}", reason="request_limit")
        assert seen.count("penstock_requests_in_flight", partition=partition) == 4
        assert seen.count("penstock_rejected_records_total") == seen.count("penstock_append_failures_total") == 0
        assert 0 <= seen.count("penstock_snapshot_age_seconds") < 30

        go_on.set()
        assert engine.wait(WAIT_SECONDS)
        assert has_ended_well(seen)
        assert len(seen.lines(f"the processor of partition {number} goes on, after ")) == 1
        for one in ("1", "2"):
            written = seen.count("penstock_last_written_position", partition=one)
            assert seen.count("penstock_last_processed_position", partition=one) == written
    assert numbers(exporter, "done") == list(range(RECORDS))


def test_a_slow_processor_is_the_one_to_blame_and_its_writers_wait_for_the_request_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turns = threading.Semaphore(0)
    exporter = CollectingExporter()
    pipeline = moody(lambda _: turns.acquire(timeout=WAIT_SECONDS), exporter)
    engine = pipeline.run(tmp_path, flow_control=few_requests(4))
    with looking_at(engine, caplog) as seen, engine:
        held = "penstock_task_back_pressured_seconds_total"
        assert wait_until(lambda: (seen.metric(held, task="log-writer", reason="request_limit") or 0) > 0)
        assert moved(seen, held, task="log-writer", reason="request_limit")
        assert seen.count("penstock_requests_in_flight") <= 8
        assert wait_until(lambda: (seen.get("/api/back-pressure")["bottleneck"] or {}).get("task") == "processor")
        assert wait_until(lambda: seen.metric("penstock_bottleneck", task="processor") == 1)
        assert wait_until(lambda: "busy" in [s["state"] for s in seen.subtasks("processor")])
        # As slow as it may be, it goes on: of two units of 200, one at least is full with it.
        before = seen.count("penstock_last_processed_position")
        turns.release(401)
        assert wait_until(lambda: seen.count("penstock_last_processed_position") > before)
        turns.release(10**6)
        assert engine.wait(WAIT_SECONDS)
        assert has_ended_well(seen)
        assert seen.lines("reject") == seen.lines("fail") == []
    assert numbers(exporter, "done") == list(range(RECORDS))
