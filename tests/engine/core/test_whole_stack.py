"""A value that one thread could write every other one can read, however deep it is nested."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from engine import EngineOptions, Pipeline, ProcessingContext
from engine.core.clock import ManualClock
from engine.core.records import Record, RecordType, WriteSource, decode_record, encode_record
from engine.core.unit import Message
from engine.core.whole_stack import read_with_whole_stack, write_with_whole_stack
from engine.flow.settings import FlowControlSettings
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.memory import MemoryStorage
from engine.partition.partition import Partition
from tests.support.nesting import FAR_TOO_DEEP, deepest, depth_of, nested, on_a_thread, with_less_stack
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS

MEMORY = EngineOptions(storage="memory")


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


@pytest.mark.parametrize("with_whole_stack", [read_with_whole_stack, write_with_whole_stack])
def test_what_is_raised_on_the_other_thread_is_raised_here(with_whole_stack: Callable[..., int]) -> None:
    def broken(given: int) -> int:
        raise ValueError(f"not {given}")

    with pytest.raises(ValueError, match="not 3"):
        with_whole_stack(broken, 3)
    assert with_whole_stack(lambda given: given + 1, 3) == 4


# Prints how deep the deepest value is that it has written.
AGED_WRITER = """
import sys
from pathlib import Path
from engine import Pipeline
from engine.core.errors import WrongRecordError
from tests.support.nesting import deepest, nested
from tests.support.pipelines import ListSource

with Pipeline("p").source("values", ListSource([], endless=True)).run(Path(sys.argv[1])) as engine:

    def write(depth):
        try:
            engine.write([nested(depth)])
        except WrongRecordError:
            raise RecursionError from None

    for _ in range(10):
        deep = deepest(write)
    engine.write([nested(deep)])
    engine.stop()
print(deep)
"""
# Prints how deep the deepest value is that it could read.
FRESH_READER = """
import sys
from pathlib import Path
from engine import Pipeline
from tests.support.nesting import depth_of
from tests.support.pipelines import CollectingExporter, ListSource

seen = CollectingExporter()
with Pipeline("p").source("values", ListSource([])).export("seen", seen.factory).run(Path(sys.argv[1])) as engine:
    engine.wait()
print(max(depth_of(record.value) for record in seen.records[1]))
"""


def printed(*arguments: str) -> str:
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=root, capture_output=True, text=True, timeout=90, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_what_a_process_that_has_run_for_long_has_stored_a_fresh_one_can_read(tmp_path: Path) -> None:
    """The calls of the one are specialised, and take less of the stack than the same calls of the other."""
    folder = str(tmp_path)
    deep = printed("-c", AGED_WRITER, folder)
    assert printed("-m", "penstock", "log", "verify", folder).endswith(": all whole\n")
    assert printed("-c", FRESH_READER, folder) == deep


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
    assert [said["reason"] for said in refused] == ["ValueError: no"] * 3


class Refusing:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "record":
            context.reject("not wanted")


@pytest.mark.parametrize("policy", ["reject", "stop"])
def test_what_a_processor_refuses_is_no_failure_of_it_however_deep_it_is(
    tmp_path: Path, policy: Literal["reject", "stop"]
) -> None:
    exporter = CollectingExporter()
    deep = on_a_thread(lambda: deepest(lambda depth: stored(nested(depth))))
    described = Pipeline("p").source("n", ListSource([1, nested(deep), 2])).process(Refusing, on_error=policy)
    with described.export("all", exporter.factory).run(tmp_path, options=MEMORY) as engine:
        assert engine.wait(WAIT_SECONDS)
        (processor,) = (task for task in engine.snapshot().tasks if task.task == "processor")
    refused = [record.value for record in exporter.records[1] if record.record_type == "rejection"]
    assert refused == [{"reason": "not wanted", "value": value} for value in (1, None, 2)]
    assert processor.rejected == {"error": 0, "processor": 3}
