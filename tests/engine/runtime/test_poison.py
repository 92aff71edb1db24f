"""A value that the log cannot hold: `onError` decides, wherever it comes up, and good values go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, Record, TaskFailedError
from engine.processing.protocol import ProcessingContext
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS

MEMORY = EngineOptions(storage="memory")


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


POISON = {
    "beyond 64 bits": 2**64,
    "half a character": "cut \ud83d",
    "no value": object(),
    "deep": deep(101),
    "far too deep": deep(100_000),
}


def rejects(data: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted((data / "rejects").glob("*.ndjson"))
    }


@pytest.mark.parametrize("kind", POISON)
@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("parallelism", [None, 1, 2])
def test_before_the_log_it_is_set_aside_and_good_values_go_on(
    tmp_path: Path, kind: str, partitions: int, parallelism: int | None
) -> None:
    values = [*range(50), "poison", *range(50, 100)]
    exporter = CollectingExporter()
    if parallelism is None:
        values[50] = POISON[kind]
        pipeline = Pipeline("p", partitions=partitions).source("n", ListSource(values))
    else:
        pipeline = Pipeline("p", partitions=partitions).source("n", ListSource(values))
        pipeline.map("step", lambda value: POISON[kind] if value == "poison" else value, parallelism=parallelism)
    pipeline.key_by(lambda value: str(value) if isinstance(value, int) and value < 100 else "odd")
    pipeline.export("all", exporter.factory)
    for _ in range(2):
        with pipeline.run(tmp_path) as engine:
            assert engine.wait(WAIT_SECONDS)
    assert sorted(exporter.values()) == [*range(100)]
    ((culprit, (line,)),) = rejects(tmp_path).items()
    if "deep" in kind:
        assert (culprit, line["offset"]) == ("n" if parallelism is None else "step", 51)
        assert "nested deeper than 100 levels" in line["reason"]
    else:
        assert culprit == "log-writer"
        assert line["source"] == "n"
        assert line["reason"].startswith("the log cannot hold it: ")


def test_a_policy_of_stop_stops_with_the_place(tmp_path: Path) -> None:
    pipeline = Pipeline("p").source("n", ListSource([1, 2**64, 3])).map("step", lambda value: value, on_error="stop")
    with (
        pytest.raises(TaskFailedError, match=r"log-writer failed at n, up to \d+: the log cannot hold it: Over"),
        pipeline.run(tmp_path, options=MEMORY) as engine,
    ):
        engine.wait(WAIT_SECONDS)


def test_a_key_that_cannot_be_had_is_not_the_steps_fault(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    pipeline = Pipeline("p", partitions=2).source("n", ListSource([{"k": "a"}, {"K": "b"}, {"k": "\ud83d"}]))
    pipeline.map("step", lambda value: value).key_by("k").export("all", exporter.factory)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert exporter.values() == [{"k": "a"}]
    found = rejects(tmp_path)
    assert [*found] == ["key"]
    assert next(line["value"] for line in found["key"]) == {"K": "b"}


Work = Callable[[ProcessingContext, Any], None]
WORKS: dict[str, Work] = {
    "emits": lambda context, value: context.emit("result", value),
    "sends": lambda context, value: context.send("key", "message", value),
    "schedules": lambda context, value: context.schedule(0, "timer", value),
    "puts": lambda context, value: context.state.put("key", value),
}


@pytest.mark.parametrize("kind", POISON)
@pytest.mark.parametrize("work", WORKS)
def test_what_a_processor_makes_of_it_is_a_rejection_and_others_go_on(tmp_path: Path, work: str, kind: str) -> None:
    class Poisonous:
        def process(self, record: Record, context: ProcessingContext) -> None:
            if record.value_type == "record":
                WORKS[work](context, POISON[kind] if record.value == 20 else record.value)

    exporter = CollectingExporter()
    pipeline = Pipeline("p", partitions=2).source("n", ListSource(range(40))).key_by(str)
    pipeline.process(Poisonous, attempts=1).export("all", exporter.factory)
    with pipeline.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    exported = [record for part in exporter.records.values() for record in part]
    rejections = [record for record in exported if record.record_type == "rejection"]
    assert [record.value["value"] for record in rejections] == [20]
    made = [record.value for record in exported if record.value_type in ("result", "message", "timer")]
    assert work == "puts" or sorted(made) == [n for n in range(40) if n != 20]


def test_a_value_of_a_hundred_levels_goes_all_the_way_and_can_be_rejected(tmp_path: Path) -> None:
    class Refusing:
        def process(self, record: Record, context: ProcessingContext) -> None:
            context.emit("copy", record.value)
            context.state.put("last", record.value)
            if record.value != 1:
                context.reject("no")

    exporter = CollectingExporter()
    pipeline = Pipeline("p").source("n", ListSource([1, deep(100), 1])).process(Refusing)
    pipeline.export("all", exporter.factory)
    for _ in range(2):
        with pipeline.run(tmp_path) as engine:
            assert engine.wait(WAIT_SECONDS)
    assert exporter.values("copy") == [1, 1]
    (rejection,) = [record for record in exporter.records[1] if record.record_type == "rejection"]
    assert rejection.value == {"reason": "no", "value": deep(100)}
