"""Whom to blame, on plans made by hand: shares are of the last ten seconds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.bottleneck import find_culprit
from engine.core.clock import NS_PER_SECOND
from engine.core.identity import stable_id
from engine.core.snapshot import (
    BlockReason,
    Culprit,
    EdgeSnapshot,
    EngineSnapshot,
    RecentTimes,
    TaskSnapshot,
    VertexKind,
    VertexSnapshot,
)
from tests.support.snapshots import engine_snapshot, flow, partition, record_exporter, task

SPAN_NS = 10 * NS_PER_SECOND
SOURCE, MAP, WRITER = VertexKind.SOURCE, VertexKind.TRANSFORM, VertexKind.LOG_WRITER
PROCESSOR, EXPORTER = VertexKind.PROCESSOR, VertexKind.EXPORTER


def sub(
    name: str,
    kind: VertexKind,
    number: int = 0,
    *,
    busy: float = 0.0,
    blocked: float = 0.0,
    reason: BlockReason = BlockReason.BUFFER,
    channels: tuple[float, ...] | None = None,
) -> TaskSnapshot:
    """A subtask by its shares; what is neither busy nor blocked is idle."""
    by_channel = (1.0,) if channels is None else channels
    recent = RecentTimes(
        span_ns=SPAN_NS,
        busy_ns=round(busy * SPAN_NS),
        idle_ns=SPAN_NS - round(busy * SPAN_NS) - round(blocked * SPAN_NS),
        back_pressured_ns={reason: round(blocked * SPAN_NS)},
        blocked_by_channel_ns=tuple(round(share * blocked * SPAN_NS) for share in by_channel),
        records_in=0,
        records_out=0,
    )
    return replace(task(name, number), kind=kind, recent=recent)


def plan(*tasks: TaskSnapshot, **changes: object) -> EngineSnapshot:
    """The tasks' vertices in their order; channels join those in front of the log, the log the others."""
    names = list(dict.fromkeys((each.task, each.kind) for each in tasks))
    vertices = tuple(
        VertexSnapshot(
            vertex_id=stable_id("test", name),
            task=name,
            kind=kind,
            parallelism=sum(each.task == name for each in tasks),
        )
        for name, kind in names
    )
    in_front = [vertex for vertex in vertices if vertex.kind in (SOURCE, MAP, WRITER)]
    edges = [
        EdgeSnapshot(source_id=one.vertex_id, target_id=other.vertex_id, ship_strategy="FORWARD")
        for one, other in pairwise(in_front)
    ]
    return engine_snapshot(vertices=vertices, edges=tuple(edges), tasks=tasks, **changes)


def culprit(snapshot: EngineSnapshot) -> Culprit:
    found = find_culprit(snapshot)
    assert found is not None
    return found


def test_while_nobody_is_held_back_nobody_is_to_blame() -> None:
    assert find_culprit(plan(sub("s", SOURCE, busy=0.9, blocked=0.1), sub("w", WRITER, busy=1.0))) is None
    assert find_culprit(engine_snapshot()) is None


def test_the_first_task_behind_the_victims_that_is_not_one_itself_is_to_blame() -> None:
    found = culprit(
        plan(
            sub("s", SOURCE, blocked=1.0),
            sub("a", MAP, busy=0.05, blocked=0.95),
            sub("slow", MAP, busy=1.0),
            sub("w", WRITER, busy=0.1),
        )
    )
    assert (found.task, found.subtask) == ("slow", 0)
    assert found.victims == ("s/0", "a/0")
    assert found.reason is BlockReason.BUFFER
    assert (
        found.text == "slow, subtask 0, is busy 100% of its time and cannot take more; s is held back 100% of its time"
    )


def test_a_busy_task_that_is_held_back_too_is_not_to_blame_but_the_slower_one_behind_it() -> None:
    found = culprit(
        plan(
            sub("s", SOURCE, blocked=0.9, busy=0.1),
            sub("a", MAP, busy=0.86, blocked=0.14),
            sub("b", MAP, busy=1.0),
            sub("w", WRITER),
        )
    )
    assert found.task == "b"


def test_a_task_that_rests_is_not_blamed_for_the_bursts_of_the_busy_one_in_front_of_it() -> None:
    found = culprit(
        plan(
            sub("s", SOURCE, blocked=0.9),
            sub("a", MAP, busy=0.85, blocked=0.12),
            sub("b", MAP, busy=0.1),
            sub("w", WRITER),
        )
    )
    assert found.task == "a"
    assert found.victims == ("s/0",)


def test_of_many_subtasks_the_one_behind_the_full_channel_is_named() -> None:
    channels = tuple(0.98 if number == 5 else 0.02 / 7 for number in range(8))
    workers = [sub("work", MAP, number, busy=1.0 if number == 5 else 0.1) for number in range(8)]
    found = culprit(plan(sub("s", SOURCE, blocked=0.9, channels=channels), *workers))
    assert (found.task, found.subtask) == ("work", 5)


def test_a_used_up_write_limit_is_flow_controls_doing() -> None:
    found = culprit(
        plan(
            sub("s", SOURCE, blocked=1.0),
            sub("w", WRITER, blocked=0.97, reason=BlockReason.WRITE_LIMIT),
            partitions=(partition(1, flow=flow(write_limit_per_second=100.0), exporters=(record_exporter("file"),)),),
        )
    )
    assert (found.task, found.vertex_id, found.subtask) == ("flow-control", None, None)
    assert found.reason is BlockReason.WRITE_LIMIT
    assert found.victims == ("s/0", "w/0")


def test_behind_a_throttled_write_limit_stands_the_exporter_with_the_lowest_position() -> None:
    exporters = (
        record_exporter("fast", acknowledged_position=900, backlog_records=100),
        record_exporter("slow", acknowledged_position=10, backlog_records=990),
    )
    throttled = partition(2, flow=flow(write_limit_per_second=10.0, throttled=True), exporters=exporters)
    found = culprit(
        plan(
            sub("s", SOURCE, blocked=1.0, channels=(0.1, 0.9)),
            sub("w", WRITER, 0, busy=0.2),
            sub("w", WRITER, 1, blocked=0.97, reason=BlockReason.WRITE_LIMIT),
            sub("fast", EXPORTER, 0),
            sub("fast", EXPORTER, 1),
            sub("slow", EXPORTER, 0, busy=1.0),
            sub("slow", EXPORTER, 1, busy=1.0),
            partitions=(partition(1), throttled),
        )
    )
    assert (found.task, found.subtask) == ("slow", 1)
    assert found.reason is BlockReason.WRITE_LIMIT, "flow control is how it is felt"
    assert "990 records behind on partition 2" in found.text


def test_a_paused_exporter_is_idle_and_still_to_blame_for_the_throttle() -> None:
    held = partition(
        1,
        flow=flow(throttled=True, write_limit_per_second=1.0),
        exporters=(record_exporter("file", backlog_records=9),),
    )
    found = culprit(
        plan(sub("w", WRITER, blocked=1.0, reason=BlockReason.WRITE_LIMIT), sub("file", EXPORTER), partitions=(held,))
    )
    assert found.task == "file"


def test_a_used_up_request_limit_is_the_processors_doing() -> None:
    found = culprit(
        plan(
            sub("w", WRITER, blocked=0.9, reason=BlockReason.REQUEST_LIMIT),
            sub("count", PROCESSOR, busy=1.0),
            partitions=(partition(1),),
        )
    )
    assert (found.task, found.subtask) == ("count", 0)


def test_a_processor_that_is_itself_held_back_by_the_write_limit_passes_the_blame_on() -> None:
    held = partition(
        1,
        flow=flow(throttled=True, write_limit_per_second=1.0),
        exporters=(record_exporter("file", backlog_records=9),),
    )
    found = culprit(
        plan(
            sub("w", WRITER, blocked=1.0, reason=BlockReason.REQUEST_LIMIT),
            sub("count", PROCESSOR, busy=0.1, blocked=0.9, reason=BlockReason.WRITE_LIMIT),
            sub("file", EXPORTER, busy=1.0),
            partitions=(held,),
        )
    )
    assert found.task == "file"
    assert found.victims == ("w/0", "count/0")


def test_a_request_limit_without_a_processor_is_flow_controls_doing() -> None:
    found = culprit(plan(sub("w", WRITER, blocked=0.9, reason=BlockReason.REQUEST_LIMIT), partitions=(partition(1),)))
    assert found.task == "flow-control"


def test_a_full_outbox_is_blamed_on_the_limit_of_the_receivers_or_else_on_the_sender() -> None:
    sender = sub("count", PROCESSOR, blocked=0.9, reason=BlockReason.INTER_PARTITION)
    limited = (partition(1), partition(2, flow=flow(write_limit_per_second=5.0)))
    assert culprit(plan(sender, partitions=limited)).task == "flow-control"
    assert culprit(plan(sender, partitions=(partition(1), partition(2)))).task == "count"


def test_a_full_disk_is_told_as_such() -> None:
    found = culprit(plan(sub("w", WRITER, blocked=0.9, reason=BlockReason.DISK_FULL), partitions=(partition(1),)))
    assert found.task == "w"
    assert "the disk is full" in found.text


def test_a_consumer_of_which_nothing_is_known_is_blamed_without_a_subtask() -> None:
    gone = replace(sub("b", MAP), recent=None)
    found = culprit(plan(sub("s", SOURCE, blocked=1.0), gone))
    assert (found.task, found.subtask) == ("b", None)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([BlockReason.BUFFER, BlockReason.WRITE_LIMIT])),
        min_size=2,
        max_size=6,
    )
)
def test_whatever_happens_there_is_one_culprit_exactly_while_somebody_is_held_back(
    shares: list[tuple[float, float, BlockReason]],
) -> None:
    last = len(shares) - 1
    tasks = []
    for number, (blocked, rest, wanted) in enumerate(shares):
        reason = BlockReason.WRITE_LIMIT if number == last else wanted
        kind = WRITER if number == last else MAP
        tasks.append(sub(f"t{number}", kind, blocked=blocked, busy=(1 - blocked) * rest, reason=reason))
    snapshot = plan(*tasks, partitions=(partition(1),))
    found = find_culprit(snapshot)
    held_back = [each for each in tasks if each.recent is not None and each.recent.blocked_share > 0.10]
    assert (found is not None) == bool(held_back)
    if found is not None:
        assert found.victims
        assert found.task == "flow-control" or f"{found.task}/{found.subtask}" not in found.victims
