"""The harness does to a processor what the engine does, and says what it did not like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, ProcessingContext, Record, RecordFilter
from engine.core.errors import ConfigurationError
from engine.core.identity import partition_of
from penstock.testing import PipelineHarness, ProcessorHarness, SetAside
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS


class Everything:
    """Uses all that a context has."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        state = context.state
        if record.intent == "fire":
            context.emit("fired", record.value, key=record.key)
            return
        n = record.value["n"]
        if n == 13:
            context.emit("never", n)
            state.put("never", n)
            context.reject("13 is not to my liking")
        if n == 14:
            context.emit("never", n)
            context.schedule(1, "never", n)
            raise ValueError("14 neither")
        count = state.get(record.key, 0) + 1
        state.put(record.key, count)
        if record.intent == "receive":
            context.emit("received", {"n": n, "by": context.partition}, key=record.key)
            return
        context.emit("counted", {"n": n, "count": count, "pair": (1, 2)})
        if n % 2 == 0:
            context.send(f"other {n}", "record", {"n": n})
        if n % 3 == 0:
            context.schedule(n, "record", {"n": n}, key=record.key)


def test_one_command_has_its_outcome() -> None:
    harness = ProcessorHarness(Everything)
    outcome = harness.process({"n": 6}, key="a")
    assert (outcome.partition, outcome.command.position, outcome.rejected) == (1, 1, None)
    # As it is read from the log: a tuple is an array there.
    assert [record.value for record in outcome.emitted] == [{"n": 6, "count": 1, "pair": [1, 2]}]
    assert [(record.key, record.intent) for record in outcome.sent] == [("other 6", "receive")]
    assert [(one.due_seconds, one.command.value) for one in outcome.scheduled] == [(6, {"n": 6})]
    assert harness.state() == {"a": 1, "other 6": 1}
    assert harness.emitted("received") == [{"n": 6, "by": 1}]
    assert [record.position for record in harness.log()] == [1, 2, 3, 4]


def test_timers_fire_when_the_clock_is_moved_and_each_at_its_time() -> None:
    harness = ProcessorHarness(Everything)
    harness.process({"n": 9}, key="late")
    harness.process({"n": 3}, key="soon")
    assert [one.due_seconds for one in harness.scheduled()] == [3, 9]
    assert harness.advance(2.9) == []
    assert [outcome.command.key for outcome in harness.advance(0.2)] == ["soon"]
    harness.restart()
    assert [outcome.command.key for outcome in harness.advance(100)] == ["late"]
    assert harness.scheduled() == []
    assert harness.emitted("fired") == [{"n": 3}, {"n": 9}]


def test_messages_reach_the_partition_that_owns_their_key() -> None:
    harness = ProcessorHarness(Everything, partitions=3)
    numbers = range(20, 60, 2)
    harness.process_all([{"n": n} for n in numbers], key=lambda value: str(value["n"]))
    received = {value["n"]: value["by"] for value in harness.emitted("received")}
    assert received == {n: partition_of(f"other {n}", 3) for n in numbers}


def test_a_rejected_command_leaves_nothing_but_its_rejection() -> None:
    harness = ProcessorHarness(Everything)
    assert harness.process({"n": 13}, key="a").rejected == "13 is not to my liking"
    assert harness.rejected() == ["13 is not to my liking"]
    assert (harness.emitted(), harness.state(), harness.scheduled()) == ([], {}, [])


def test_an_exception_is_the_tests_or_a_rejection() -> None:
    harness = ProcessorHarness(Everything)
    with pytest.raises(ValueError, match="14 neither"):
        harness.process({"n": 14}, key="a")
    assert (harness.emitted(), harness.state(), harness.scheduled()) == ([], {}, [])
    lenient = ProcessorHarness(Everything, on_error="reject")
    assert lenient.process({"n": 14}, key="a").rejected == "ValueError: 14 neither"
    assert (lenient.emitted(), lenient.state(), lenient.scheduled()) == ([], {}, [])


def test_what_no_log_can_hold_is_said_where_it_was_emitted() -> None:
    class Deep:
        def process(self, record: Record, context: ProcessingContext) -> None:
            context.emit("far", object() if record.value == "odd" else 2**70)

    harness = ProcessorHarness(Deep)
    for value, error in (("odd", TypeError), ("large", OverflowError)):
        with pytest.raises(error):
            harness.process(value)
    assert harness.emitted() == []


def test_what_a_processor_keeps_in_itself_is_gone_after_a_restart() -> None:
    class Forgetful:
        def __init__(self) -> None:
            self.count = 0

        def process(self, record: Record, context: ProcessingContext) -> None:
            self.count += 1
            context.emit("count", self.count)

    harness = ProcessorHarness(Forgetful)
    harness.process(None)
    harness.restart()
    harness.process(None)
    assert harness.emitted() == [1, 1]


def test_a_processor_that_sends_to_itself_for_ever_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.testing._COMMANDS_MAX", 100)

    class Endless:
        def process(self, record: Record, context: ProcessingContext) -> None:
            context.send("k", "t", 1)

    with pytest.raises(AssertionError, match="the processor sends without end"):
        ProcessorHarness(Endless).process(1)


def test_what_is_no_processor_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"has a method process\(.*; object has none"):
        ProcessorHarness(object)  # type: ignore[arg-type]


# -- pipelines ---


def twice(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield value
    yield {**value, "n": value["n"] + 1000}


def described() -> Pipeline:
    return (
        Pipeline("p", partitions=2)
        .source("numbers", ListSource([{"n": n, "k": f"k{n % 5}"} for n in range(13)]))
        .filter("small", lambda value: value["n"] < 12)
        .flat_map("twice", twice)
        .process(Everything, key="k")
        .export("events", CollectingExporter().factory, filter=RecordFilter(value_types=frozenset({"counted"})))
        .export("all", CollectingExporter().factory)
    )


def test_a_pipeline_does_on_the_harness_what_it_does_in_an_engine(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    real = described().export("seen", exporter.factory, filter=RecordFilter(value_types=frozenset({"counted"})))
    with real.run(tmp_path, options=EngineOptions(storage="memory")) as engine:
        assert engine.wait(WAIT_SECONDS)
    harness = PipelineHarness(described())
    harness.run()

    def found(values: list[Any]) -> list[str]:
        return sorted(map(str, values))

    assert found([record.value for record in harness.exported("events")]) == found(exporter.values())
    assert len(harness.exported("all")) > len(harness.exported("events"))


def test_what_a_step_or_the_key_cannot_take_is_the_tests_or_set_aside() -> None:
    with pytest.raises(KeyError):
        PipelineHarness(described()).feed({"k": "a"})
    harness = PipelineHarness(described(), on_error="reject")
    harness.feed({"k": "a"}, {"n": 1}, {"n": 2, "k": "a"})
    assert harness.set_aside == [
        SetAside("small", {"k": "a"}, "KeyError: 'n'"),
        SetAside("key", {"n": 1}, "KeyError: 'k'"),
        SetAside("key", {"n": 1001}, "KeyError: 'k'"),
    ]
    assert len(harness.exported("events")) == 2


def test_an_exporter_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="there is no exporter 'x'; there is 'events', 'all'"):
        PipelineHarness(described()).exported("x")
