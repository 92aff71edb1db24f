"""A broken world around a running pipeline: what is seen of it, and that everything is there once it is mended."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import (
    AimdSettings,
    DataFolderError,
    Engine,
    EngineOptions,
    FlowControlSettings,
    Pipeline,
    Record,
    RecordFilter,
    RequestLimitSettings,
    SystemClock,
    TaskFailedError,
    ThrottlingSettings,
    WriteLimitSettings,
)
from engine.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from engine.core.records import WriteSource
from engine.core.snapshot import BlockReason, EngineSnapshot, EngineState, TaskStatus, VertexKind
from engine.flow.gate import FlowControl, Permit
from engine.log.local.inspection import Inspection
from engine.log.local.repair import repair
from engine.log.lost import LOST_INTENT
from engine.processing.protocol import ProcessingContext
from engine.runtime.data_folder import DataFolder
from tests.support.full_disk import KEEP_ALL, KINDS, FullDisk, little_room
from tests.support.logs import change, damage, first_of_batch, frames, turn_byte
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS, wait_until

# Also the engine's own records, which stay inside otherwise.
EVERYTHING = RecordFilter(value_types=frozenset({"record", "penstock"}))
RECORDS = 6000
VALUES = [{"n": n, "filling": "x" * 1000} for n in range(RECORDS)]


def failures(engine: Engine) -> dict[str, int]:
    return dict(engine.snapshot().partitions[0].append_failures)


def numbers(exporter: CollectingExporter) -> list[int]:
    return [value["n"] for value in exporter.values("record")]


# -- the disk is full ---


@pytest.fixture(params=KINDS)
def full_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FullDisk]:
    with little_room(request.param, tmp_path) as found:
        yield found


def test_a_full_disk_holds_the_pipeline_and_everything_goes_on_once_there_is_room(full_disk: FullDisk) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("p").source("n", ListSource(VALUES, batch=50)).export("all", exporter.factory)
    engine = full_disk.engine(pipeline).start()
    try:
        assert wait_until(lambda: failures(engine)["disk_full"] >= 2), "it is tried again"
        written = engine.snapshot().partitions[0].last_written_position
        assert 0 < written < RECORDS
        assert engine.state is EngineState.RUNNING
        full_disk.make_room()
        assert engine.wait(WAIT_SECONDS)
    finally:
        engine.stop(drain=False)
    assert numbers(exporter) == list(range(RECORDS))


def test_sources_wait_before_the_disk_is_full_and_go_on_by_themselves(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    exporter = CollectingExporter()
    pipeline = Pipeline("p").source("n", ListSource(VALUES[:100])).export("all", exporter.factory)
    # More is wanted than there is, by far less than three quarters: the first of the two steps.
    options = EngineOptions(free_space_bytes=free + free // 4)
    with pipeline.run(tmp_path, options=options) as engine:
        assert wait_until(lambda: blocked_ns(engine.snapshot(), VertexKind.LOG_WRITER, BlockReason.DISK_FULL) > 0)
        assert numbers(exporter) == []
        assert not any(failures(engine).values())
        # The disk grows: as the ticker sees it, less is wanted.
        assert engine._ticker is not None
        engine._ticker._free_space_bytes = 0
        assert engine.wait(WAIT_SECONDS)
    assert numbers(exporter) == list(range(100))


def blocked_ns(snapshot: EngineSnapshot, kind: VertexKind, reason: BlockReason) -> int:
    return sum(task.back_pressured_ns[reason] for task in snapshot.tasks if task.kind is kind)


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
    pipeline = Pipeline("p").source("n", ListSource(VALUES, batch=50)).export("all", held.factory, filter=EVERYTHING)
    with pipeline.run(folder, options=options) as engine:
        assert wait_until(lambda: engine.snapshot().partitions[0].last_written_position > RECORDS)
        held.closed = -1
        engine.stop(drain=False)
    return lies_in(folder)


def exporting(exporter: CollectingExporter) -> Pipeline:
    return Pipeline("p").source("n", ListSource(VALUES, batch=50)).export("all", exporter.factory, filter=EVERYTHING)


def test_a_damaged_batch_stops_the_run_with_its_position_and_a_repair_lets_it_go_on(
    tmp_path: Path, options: EngineOptions
) -> None:
    path = filled(tmp_path, options)
    first, count = first_of_batch(path, 3000)
    damage(path, first)

    exporter = CollectingExporter()
    with pytest.raises(TaskFailedError) as caught, exporting(exporter).run(tmp_path, options=options) as engine:
        engine.wait(WAIT_SECONDS)
    assert f"partition 1: batch at position {first} is damaged: its checksum does not match" in str(caught.value)
    assert engine.snapshot().failure == str(caught.value)
    assert engine.state is EngineState.FAILED
    got = [record.position for record in exporter.records.get(1, [])]
    assert got == list(range(1, len(got) + 1))
    assert len(got) < first

    with inspected(folder_of(path)) as inspection:
        damages = inspection.verify().damages
    assert [(d.first_position, d.last_position) for d in damages] == [(first, first + count - 1)]
    repair(path, damages, DataFolder(folder_of(path)).identity(1))

    with exporting(exporter).run(tmp_path, options=options) as engine:
        assert engine.wait(WAIT_SECONDS)
    records = exporter.records[1]
    assert sorted({record.position for record in records}) == list(range(1, records[-1].position + 1))
    lost = {record.position for record in records if record.intent == LOST_INTENT}
    assert lost == set(range(first, first + count))
    # At least once: what the stopped run had in hand may come again.
    there = {record.value["n"] for record in records if record.value_type == "record"}
    assert len(there) == RECORDS - count


def image_of_a_run(folder: Path, options: EngineOptions, *, behind: int = 500) -> Path:
    """As a crash behind that position would leave it: the database, and what is written ahead of it."""
    held = CollectingExporter()
    held.open_gate.clear()
    running = folder / "running"
    image = folder / "image"
    source = ListSource(VALUES[:2000], batch=20)
    with (
        Pipeline("p")
        .source("n", source)
        .export("all", held.factory, filter=EVERYTHING)
        .run(running, options=options) as engine
    ):
        assert wait_until(lambda: engine.snapshot().partitions[0].last_written_position > behind)
        shutil.copytree(running, image)
        held.closed = -1
        engine.stop(drain=False)
    for index in image.rglob("*.db-shm"):
        index.unlink()
    return image


def written_ahead(folder: Path) -> Path:
    """What tells of the last commits, and may be torn."""
    (file,) = folder.glob("partitions/1/*.log")
    return file


def test_a_torn_tail_of_what_was_written_ahead_is_dropped_and_read_again_from_the_source(tmp_path: Path) -> None:
    # Without a sync a commit, for what was synced before it was acknowledged is not torn by a loss of power.
    options = replace(KEEP_ALL, synchronous="NORMAL")
    image = image_of_a_run(tmp_path, options)
    size = written_ahead(image).stat().st_size
    assert size > 100_000
    for torn in (1, 4097, size // 3):
        folder = tmp_path / f"torn {torn}"
        shutil.copytree(image, folder)
        os.truncate(written_ahead(folder), size - torn)
        exporter = CollectingExporter()
        again = (
            Pipeline("p")
            .source("n", ListSource(VALUES[:2000], batch=20))
            .export("all", exporter.factory, filter=EVERYTHING)
        )
        with again.run(folder, options=options) as engine:
            assert engine.wait(WAIT_SECONDS)
        assert numbers(exporter) == list(range(2000))
        records = exporter.records[1]
        assert [record.position for record in records] == list(range(1, len(records) + 1))


def test_a_damaged_commit_that_nobody_has_applied_refuses_the_start_until_it_is_repaired(tmp_path: Path) -> None:
    options = KEEP_ALL
    image = image_of_a_run(tmp_path, options, behind=2000)
    path = lies_in(image)
    # A commit of the source, of which there are several: none holds more than a buffer.
    (segment, at, head, _) = next(found for found in frames(path) if found[2].first_position > 1 and found[2].records)
    turn_byte(segment, at)
    exporter = CollectingExporter()
    again = (
        Pipeline("p")
        .source("n", ListSource(VALUES[:2000], batch=20))
        .export("all", exporter.factory, filter=EVERYTHING)
    )
    with pytest.raises(DataFolderError) as caught:
        again.run(image, options=options).start()
    assert f"the log is damaged behind position {head.first_position - 1}" in str(caught.value)
    assert "see `penstock log verify`" in str(caught.value)

    with inspected(folder_of(path)) as inspection:
        (found,) = inspection.verify().damages
    lost = set(range(head.first_position, head.first_position + head.records))
    assert (found.first_position, found.last_position, found.changes_lost) == (min(lost), max(lost), True)
    repair(path, [found], DataFolder(folder_of(path)).identity(1))
    with again.run(image, options=options) as engine:
        assert engine.wait(WAIT_SECONDS)
    records = exporter.records[1]
    assert [record.position for record in records] == list(range(1, len(records) + 1))
    assert {record.position for record in records if record.intent == LOST_INTENT} == lost
    # How far the source has come was said again by the commits behind.
    there = [record.value["n"] for record in records if record.value_type == "record"]
    assert len(set(there)) == len(there) == 2000 - len(lost)


# -- another format ---


@pytest.mark.parametrize(
    ("where", "version", "ours"),
    [
        ("penstock.json", 1, 2),
        ("penstock.json", 3, 2),
        ("partitions/1/state.db", 1, 2),
        ("partitions/1/state.db", 3, 2),
    ],
)
def test_another_format_is_refused_with_both_numbers_and_left_as_it_is(
    tmp_path: Path, where: str, version: int, ours: int
) -> None:
    pipeline = Pipeline("p").source("n", ListSource(VALUES[:10]))
    options = KEEP_ALL
    with pipeline.run(tmp_path, options=options) as engine:
        engine.wait(WAIT_SECONDS)
    file = tmp_path / where
    if file.suffix == ".json":
        file.write_text(file.read_text().replace('"format":2', f'"format":{version}'))
    else:
        change(file, "UPDATE meta SET value = ? WHERE key = 'format'", version)
    before = file.read_bytes()
    with pytest.raises(DataFolderError) as caught:
        pipeline.run(tmp_path, options=options).start()
    assert f"has format {version}, this version reads format {ours}; use the version that wrote it" in str(caught.value)
    assert file.read_bytes() == before


# -- the wall clock jumps ---

THROTTLED = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=1000,
        throttling=ThrottlingSettings(enabled=True, acceptable_backlog=2000, minimum_limit=50),
    ),
    request=RequestLimitSettings(enabled=True),
)
Course = list[tuple[Any, ...]]


def course_of_ten_minutes(jumps: dict[int, float]) -> Course:
    """What the gate admits, measures and throttles; `jumps` are seconds of the wall clock at a second of the run."""
    clock = ManualClock()
    gate = FlowControl(clock, THROTTLED, partition=1, has_exporters=True)
    written = exported = 0
    course: Course = []
    for step in range(6000):
        clock.jump_wall(jumps.get(step // 10, 0.0) if step % 10 == 0 else 0.0)
        for _ in range(20):
            permit = gate.try_acquire(WriteSource.USER_COMMAND, 10)
            if isinstance(permit, Permit):
                written += 10
                permit.appended(written)
        gate.processed(written)
        exported = min(written, exported + 30)
        if clock.monotonic_ns() >= gate.next_tick_ns():
            gate.tick(last_written=written, lowest_acknowledged=exported)
        seen = gate.snapshot(last_written=written, lowest_acknowledged=exported)
        course.append(
            (written, seen.write_limit_per_second, seen.exporting_rate_per_second, seen.throttled, seen.throttled_ns)
        )
        clock.advance(0.1)
    return course


@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_of_the_wall_clock_changes_no_limit_no_rate_and_no_throttle(hours: int) -> None:
    undisturbed = course_of_ten_minutes({})
    assert {throttled for *_, throttled, _ in undisturbed} == {True, False}
    assert course_of_ten_minutes({100: hours * 3600.0, 300: hours * 3600.0}) == undisturbed


class JumpingClock(SystemClock):
    """The machine's clocks, of which a test sets the wall one."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ns = 0
        machine_ns = self.wall_ns
        self.wall_ns = lambda: machine_ns() + self.ahead_ns


class JumpyAlarms:
    """Each command sets a timer, and before it is committed the wall clock jumps; keeps when each was set and fired."""

    def __init__(self, clock: JumpingClock, hours: int) -> None:
        self.clock = clock
        self.hours = hours
        self.delays_ns: list[int] = []

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.intent == "fire":
            self.delays_ns.append(self.clock.monotonic_ns() - record.value)
            context.emit("fired", record.value)
        else:
            context.schedule(0.05, "alarm", self.clock.monotonic_ns())
            self.clock.ahead_ns += self.hours * 3600 * NS_PER_SECOND


@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_between_setting_a_timer_and_its_commit_does_not_move_it(tmp_path: Path, hours: int) -> None:
    clock = JumpingClock()
    alarms = JumpyAlarms(clock, hours)
    pipeline = Pipeline("p").source("n", ListSource(VALUES[:20], batch=1, endless=True)).process(lambda: alarms)
    with Engine(pipeline, tmp_path, clock=clock) as engine:
        assert wait_until(lambda: len(alarms.delays_ns) == 20), "none waits for an hour"
        engine.stop()
    assert min(alarms.delays_ns) >= 50 * NS_PER_MS, "none fires at once"


class Alarms:
    """Each command sets a timer; says when one fires."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.intent == "fire":
            context.emit("fired", record.value)
        else:
            context.schedule(0.4, "alarm", record.value)


@pytest.mark.parametrize("hours", [1, -1])
def test_timers_fire_in_their_time_although_the_wall_clock_jumps(tmp_path: Path, hours: int) -> None:
    clock = JumpingClock()
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p").source("n", ListSource(VALUES[:20], endless=True)).process(Alarms).export("all", exporter.factory)
    )
    with Engine(pipeline, tmp_path, clock=clock) as engine:
        assert wait_until(lambda: engine.snapshot().partitions[0].last_processed_position >= 21)
        jumped_ns = clock.monotonic_ns()
        clock.ahead_ns = hours * 3600 * NS_PER_SECOND
        assert wait_until(lambda: len(exporter.values("fired")) == 20, seconds=5)
        # Not all at once because the wall clock says it is time.
        assert hours < 0 or clock.monotonic_ns() - jumped_ns > 50 * NS_PER_MS
        for partition in engine.snapshot().partitions:
            assert partition.oldest_unexported_wall_ns is not None
            assert partition.oldest_unexported_wall_ns <= clock.wall_ns()
        engine.stop()
    assert sorted(value["n"] for value in exporter.values("fired")) == list(range(20))


# -- the processor raises, hangs, is slow ---


class Moody:
    """Does with each command what a test says, then emits its number."""

    def __init__(self, mood: Callable[[int], None]) -> None:
        self._mood = mood

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.state.put("seen", context.state.get("seen", 0) + 1)
        self._mood(record.value["n"])
        context.emit("done", {"n": record.value["n"]})


def moody(mood: Callable[[int], None], exporter: CollectingExporter, **how: Any) -> Pipeline:
    return (
        Pipeline("p", partitions=2)
        .source("n", ListSource(VALUES, batch=50))
        .process(lambda: Moody(mood), key="n", **how)
        .export("all", exporter.factory)
    )


def test_a_processor_that_raises_now_and_then_loses_nothing_but_what_it_refuses(tmp_path: Path) -> None:
    tries: dict[int, int] = {}

    def raise_sometimes(n: int) -> None:
        if n % 10 == 0:
            tries[n] = tries.get(n, 0) + 1
            # Every other one succeeds at its third and last try.
            if n % 20 == 0 or tries[n] < 3:
                raise ValueError(f"not {n}")

    exporter = CollectingExporter()
    with moody(raise_sometimes, exporter).run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert sorted(v["n"] for v in exporter.values("done")) == [n for n in range(RECORDS) if n % 20]
    refused = [r for rs in exporter.records.values() for r in rs if r.record_type == "rejection"]
    assert sorted(r.value["value"]["n"] for r in refused) == [n for n in range(RECORDS) if n % 20 == 0]
    assert refused[0].value["reason"].startswith("ValueError: not ")
    assert set(tries.values()) == {3}
    rejected = sum(task.rejected["error"] for task in engine.snapshot().tasks)
    assert rejected == RECORDS // 20


def test_a_processor_that_raises_and_must_not_stops_the_run_with_the_place_and_the_next_run_goes_on(
    tmp_path: Path,
) -> None:
    broken = True

    def raise_once(n: int) -> None:
        if broken and n == 4321:
            raise ValueError("not today")

    exporter = CollectingExporter()
    pipeline = moody(raise_once, exporter, on_error="stop")
    said = r"partition \d, position \d+ failed with ValueError: not today"
    with pytest.raises(TaskFailedError, match=said), pipeline.run(tmp_path) as engine:
        engine.wait(WAIT_SECONDS)
    assert engine.state is EngineState.FAILED
    broken = False
    with pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert sorted({v["n"] for v in exporter.values("done")}) == list(range(RECORDS))


def test_a_processor_that_hangs_is_seen_as_busy_and_does_not_keep_the_run_from_ending(tmp_path: Path) -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def hang(n: int) -> None:
        if n == 1000 and not go_on.is_set():
            hanging.set()
            go_on.wait(60)

    exporter = CollectingExporter()
    options = EngineOptions(drain_timeout_ns=300 * NS_PER_MS)
    engine = moody(hang, exporter).run(tmp_path, options=options).start()
    assert hanging.wait(WAIT_SECONDS)

    def hung() -> list[int]:
        tasks = [t for t in engine.snapshot().tasks if t.kind is VertexKind.PROCESSOR]
        return [t.subtask for t in tasks if t.state == "busy" and t.status is TaskStatus.RUNNING]

    # The other partition goes on to its end, and the log can still be written.
    assert wait_until(lambda: len(hung()) == 1)
    (behind,) = (p for p in engine.snapshot().partitions if p.partition == hung()[0] + 1)
    assert behind.last_processed_position is not None
    assert behind.last_processed_position < behind.last_written_position
    engine.stop()
    assert engine.state is EngineState.FINISHED
    go_on.set()
    with moody(hang, exporter).run(tmp_path) as again:
        assert again.wait(WAIT_SECONDS)
    done = sorted(v["n"] for v in exporter.values("done"))
    assert done == list(range(RECORDS))
    # Exactly once: what the stuck unit had counted was never stored.
    seen = 0
    for partition in (1, 2):
        db = sqlite3.connect(tmp_path / "partitions" / f"{partition}" / "state.db")
        seen += msgspec.msgpack.decode(db.execute("SELECT value FROM state WHERE key = 'seen'").fetchone()[0])
        db.close()
    assert seen == RECORDS


def test_a_slow_processor_holds_the_sources_by_the_request_limit_and_not_by_failing(tmp_path: Path) -> None:
    turns = threading.Semaphore(0)
    exporter = CollectingExporter()
    limited = FlowControlSettings(
        request=RequestLimitSettings(
            enabled=True, use_windowed=False, aimd=AimdSettings(initial_limit=4, min_limit=1, max_limit=4)
        )
    )
    pipeline = moody(lambda n: turns.acquire(timeout=WAIT_SECONDS) and None, exporter)
    with pipeline.run(tmp_path, flow_control=limited) as engine:
        held = BlockReason.REQUEST_LIMIT
        assert wait_until(lambda: blocked_ns(engine.snapshot(), VertexKind.LOG_WRITER, held) > 0)
        assert all(p.flow.requests_in_flight <= 4 for p in engine.snapshot().partitions)
        turns.release(10**6)
        assert engine.wait(WAIT_SECONDS)
    assert sorted(v["n"] for v in exporter.values("done")) == list(range(RECORDS))
