"""A value that one thread could write every other one can read, however deep it is nested."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, ProcessingContext
from engine.clock import ManualClock
from engine.flow.settings import FlowControlSettings
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.memory import MemoryStorage
from engine.partition import Partition
from engine.records import Record, RecordType, WriteSource, decode_record, encode_record
from engine.unit import Message
from engine.whole_stack import with_whole_stack
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS

MEMORY = EngineOptions(storage="memory")
FAR_TOO_DEEP = 100_000


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        (value,), depth = value, depth + 1
    return depth


def deepest(works: Callable[[int], object]) -> int:
    """The deepest nesting with which it works."""
    low, high = 1, FAR_TOO_DEEP
    while low < high:
        middle = (low + high + 1) // 2
        try:
            works(middle)
            low = middle
        except RecursionError:
            high = middle - 1
    return low


def on_a_thread(function: Callable[[], Any]) -> Any:
    """As it is on the engine's threads, whose stacks are short; in a test the stack is deep already."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(WAIT_SECONDS)
    return found[0]


def with_less_stack(function: Callable[[], Any], frames: int) -> Any:
    return function() if not frames else with_less_stack(function, frames - 1)


def stored(value: Any) -> EncodedBatch:
    blob, kinds = encode_batch([Record(RecordType.COMMAND, "t", "create", "k", value)])
    return EncodedBatch(1, 1, 7, WriteSource.INTERNAL, checksum_of(blob, 1, 1, kinds), blob, kinds)


def test_what_a_short_stack_has_written_a_long_one_can_read() -> None:
    def written_and_read() -> list[int]:
        depth = deepest(lambda depth: encode_batch([Record(RecordType.COMMAND, "t", "create", "k", nested(depth))]))
        batch = stored(nested(depth))
        (record,) = with_less_stack(lambda: decode_batch(batch).records, 100)
        single = deepest(lambda depth: encode_record(Record(RecordType.COMMAND, "t", "create", "k", nested(depth))))
        blob = encode_record(Record(RecordType.COMMAND, "t", "create", "k", nested(single)))
        alone = with_less_stack(lambda: decode_record(blob), 100)
        return [depth - depth_of(record.value), single - depth_of(alone.value)]

    assert on_a_thread(written_and_read) == [0, 0]


def test_what_a_long_stack_writes_may_be_as_deep_as_what_a_short_one_writes() -> None:
    def both() -> tuple[int, int]:
        short = deepest(lambda depth: stored(nested(depth)))
        return short, with_less_stack(lambda: deepest(lambda depth: stored(nested(depth))), 100)

    short, long = on_a_thread(both)
    assert short == long


def test_what_is_too_deep_for_any_thread_is_an_error_of_who_writes_it() -> None:
    with pytest.raises(RecursionError):
        stored(nested(FAR_TOO_DEEP))


def test_what_is_raised_on_the_other_thread_is_raised_here() -> None:
    def broken(given: int) -> int:
        raise ValueError(f"not {given}")

    with pytest.raises(ValueError, match="not 3"):
        with_whole_stack(broken, 3)
    assert with_whole_stack(lambda given: given + 1, 3) == 4


class Raising:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "record":
            raise ValueError("no")


class Scheduling:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "record":
            context.schedule(0, "timer", record.value)


class Sending:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "record":
            context.send("key", "message", [record.value])


class Emitting:
    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("result", [record.value])


@pytest.mark.parametrize("processor", [None, Raising, Scheduling, Sending, Emitting])
def test_no_value_that_could_be_stored_stops_a_run_by_its_depth(
    tmp_path: Path, processor: Callable[[], Any] | None
) -> None:
    """All depths up to the last one that can be stored, where values pass on from thread to thread and grow."""
    deep = on_a_thread(lambda: deepest(lambda depth: stored(nested(depth))))
    values = [nested(depth) for depth in range(deep - 30, deep + 1)]
    exporter = CollectingExporter()
    described = Pipeline("p", partitions=2).source("values", ListSource(values))
    described = described.key_by(lambda value: str(depth_of(value)))
    if processor is not None:
        described = described.process(processor, attempts=1)
    with described.export("all", exporter.factory).run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    exported = [record for part in exporter.records.values() for record in part]
    commands = [r for r in exported if (r.record_type, r.value_type) == ("command", "record")]
    assert sorted(depth_of(record.value) for record in commands) == list(range(deep - 30, deep + 1))
    answers = [r for r in exported if r.record_type != "command" and r.value_type == "record"]
    if processor is Raising:
        assert len(answers) == len(values)
    if processor in (Scheduling, Sending, Emitting):
        made = [r for r in exported if r.value_type in ("timer", "message", "result")]
        assert len([r for r in answers if r.record_type == "rejection"]) + len(made) == len(values)
        assert len(made) > 20


def command_of_depth(depth: int) -> bytes:
    """As it may lie in an outbox: encoded by itself."""
    flat = encode_record(Record(RecordType.COMMAND, "message", "receive", "k", "*"))
    before, after = flat.split(b"\xa1*")
    return before + b"\x91" * depth + b"\xa1*" + after


def test_a_message_that_is_too_deep_for_a_batch_is_rejected_and_those_behind_it_are_stored() -> None:
    deep = on_a_thread(lambda: deepest(lambda depth: decode_record(command_of_depth(depth))))
    partition = Partition(
        1,
        MemoryStorage(),
        ManualClock(),
        flow_control=FlowControlSettings(),
        exporters=(),
        has_processor=False,
        progressed=lambda: None,
    )
    partition.receive(2, [Message(n, 1, command_of_depth(depth)) for n, depth in ((1, 3), (2, deep), (3, 4))])
    committed = [record for batch in partition.read(1, 10) for record in batch.records]
    assert [record.record_type for record in committed] == ["command", "rejection", "command"]
    assert committed[1].value == {"reason": "its value is nested too deep to be stored", "value": None}
    assert (committed[1].value_type, committed[1].intent, committed[1].key) == ("message", "receive", "k")
    partition.close()


def test_a_rejection_that_would_be_too_deep_leaves_the_value_out(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    deep = on_a_thread(lambda: deepest(lambda depth: stored(nested(depth))))
    source = ListSource([1, nested(deep), 2])
    described = Pipeline("p").source("n", source).process(Raising, attempts=1).export("all", exporter.factory)
    with described.run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
    refused = [record.value for record in exporter.records[1] if record.record_type == "rejection"]
    assert [said["value"] for said in refused] == [1, None, 2]
    assert refused[0]["reason"] == "ValueError: no"
    assert refused[1]["reason"].startswith("RecursionError")
