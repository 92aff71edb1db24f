"""The front is thrown away and prepared anew, as it is when a worker dies."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from engine import Engine, EngineOptions, FlowControlSettings, Pipeline, RecordType, WriteLimitSettings
from engine.core.snapshot import BlockReason, TaskSnapshot, TaskStatus
from engine.runtime.front import Front
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import wait_until

SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
VALUES = 3000


def front_of(engine: Engine) -> Front:
    front = engine._wired.front
    assert front is not None
    return front


def begin_anew(engine: Engine) -> None:
    front_of(engine).prepare({n: p.source_progress for n, p in engine._partitions.items()}, {})
    front_of(engine).start()


def written(engine: Engine) -> int:
    return sum(partition.last_written_position for partition in engine.snapshot().partitions)


@pytest.mark.parametrize("parallelism", [1, 3])
def test_however_often_it_is_halted_every_value_is_stored_once_and_in_order(parallelism: int, tmp_path: Path) -> None:
    print(f"TEST_SEED={SEED}")
    chance = random.Random(SEED)
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=2)
        .source("a", ListSource([{"n": n, "k": f"a{n % 7}"} for n in range(VALUES)], batch=9))
        .source("b", ListSource([{"n": n, "k": f"b{n % 5}"} for n in range(VALUES)], batch=4))
        .map("as_is", lambda value: value, parallelism=parallelism)
        .flat_map("some", lambda value: [value] * (value["n"] % 3))
        .key_by("k")
        .export("all", exporter.factory)
    )
    options = EngineOptions(storage="memory", run_forever=True, buffer_records=20)
    with pipeline.run(tmp_path, options=options) as engine:
        for _ in range(12):
            goal = written(engine) + chance.randint(1, 400)
            assert wait_until(lambda goal=goal: written(engine) >= goal or front_of(engine).is_over)  # type: ignore[misc]
            front_of(engine).halt()
            read = [task.records_in for task in engine.snapshot().tasks]
            begin_anew(engine)
            assert all(now.records_in >= before for now, before in zip(engine.snapshot().tasks, read, strict=True)), (
                "counters go on"
            )
        assert wait_until(lambda: front_of(engine).is_over)
    stored: dict[str, list[int]] = {}
    for records in exporter.records.values():
        for record in records:
            if record.record_type == RecordType.COMMAND:
                stored.setdefault(record.key, []).append(record.value["n"])
    for key, found in stored.items():
        step = 7 if key[0] == "a" else 5
        assert found == [n for n in range(int(key[1:]), VALUES, step) for _ in range(n % 3)]
    assert len(stored) == 12


def test_a_writer_that_waits_for_its_limit_is_halted_at_once(tmp_path: Path) -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    pipeline = (
        Pipeline("p")
        .source("a", ListSource([{"n": n} for n in range(VALUES)]))
        .export("all", CollectingExporter().factory)
    )
    options = EngineOptions(storage="memory")
    with pipeline.run(tmp_path, flow_control=settings, options=options) as engine:

        def writer() -> TaskSnapshot:
            return next(task for task in engine.snapshot().tasks if task.task == "log-writer")

        assert wait_until(lambda: writer().state is BlockReason.WRITE_LIMIT)
        blocked = writer().back_pressured_ns[BlockReason.WRITE_LIMIT]
        # It would wait for a second each time.
        for _ in range(20):
            front_of(engine).halt()
            assert writer().status is TaskStatus.CANCELED
            begin_anew(engine)
        assert writer().back_pressured_ns[BlockReason.WRITE_LIMIT] >= blocked
        engine.stop(drain=False)
