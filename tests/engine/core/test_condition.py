"""One word for how a pipeline is: the worst that is the case, and in a sentence what that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.condition import Condition, condition_of, findings, paused
from engine.core.pause import Pause
from engine.core.snapshot import (
    BlockReason,
    ClosedSnapshot,
    ClusterSnapshot,
    Culprit,
    EngineSnapshot,
    EngineState,
    ExporterState,
    PartitionState,
    WorkerSnapshot,
)
from tests.support import snapshots
from tests.support.snapshots import TAKEN_MONOTONIC_NS, engine_snapshot, flow, partition, record_exporter

THROTTLED = flow(
    throttled=True, write_limit_per_second=310.0, write_limit_max_per_second=1000.0, reason="backlog 9 of 8"
)
CULPRIT = Culprit(
    task="parse", vertex_id="x", subtask=0, reason=BlockReason.BUFFER, victims=("lines/0",), text="parse is busy"
)
PAUSE = Pause(since_wall_ns=(6 * 3600 + 38 * 60 + 21) * NS_PER_SECOND, by="alice")
# What each word stands for, worst first; all of it at once is the first of them.
WORLDS: dict[Condition, dict[str, object]] = {
    Condition.FAILED: {"state": EngineState.FAILED, "failure": "task parse failed"},
    Condition.STOPPING: {"state": EngineState.STOPPING},
    Condition.DISK_FULL: {"partitions": (partition(1, lacks_room=True, disk_free_bytes=200_000_000),)},
    Condition.REFUSING: {"partitions": (partition(1, flow=flow(refused_ns=TAKEN_MONOTONIC_NS - NS_PER_SECOND)),)},
    Condition.THROTTLED: {"partitions": (partition(1, flow=THROTTLED),)},
    Condition.EXPORTER_RETRYING: {
        "partitions": (
            partition(1, exporters=(record_exporter("audit", state=ExporterState.RETRYING, last_error="HTTP 500"),)),
        )
    },
    Condition.EXPORTER_PAUSED: {
        "partitions": (partition(1, exporters=(record_exporter("audit", state=ExporterState.PAUSED, pause=PAUSE),)),)
    },
    Condition.BACK_PRESSURED: {"culprit": CULPRIT, "bottleneck": "parse"},
    Condition.STARTING: {"state": EngineState.STARTING},
    Condition.FINE: {},
}
SAID = {
    Condition.FAILED: "task parse failed",
    Condition.STOPPING: "the engine is stopping",
    Condition.DISK_FULL: "partition 1 waits for room on the disk: 200 MB are free",
    Condition.REFUSING: "partition 1 refused writes within the last 10 s",
    Condition.THROTTLED: "writes to partition 1 are limited to 310 of 1000 records/s: backlog 9 of 8",
    Condition.EXPORTER_RETRYING: "audit tries again on partition 1: HTTP 500",
    Condition.EXPORTER_PAUSED: "audit has been paused since 06:38:21 UTC by alice; resume it",
    Condition.BACK_PRESSURED: "parse is busy",
    Condition.STARTING: "the engine is starting",
    Condition.FINE: "nothing is out of the ordinary",
}


def test_there_is_a_world_for_each_word_but_the_one_that_nobody_can_say_of_himself() -> None:
    assert [Condition.DOWN, *WORLDS] == list(Condition)


@pytest.mark.parametrize("condition", WORLDS)
def test_each_word_says_what_is_the_case(condition: Condition) -> None:
    found = condition_of(engine_snapshot(**WORLDS[condition]))
    assert (found.condition, found.text) == (condition, SAID[condition])


def test_the_worst_comes_first_and_the_rest_is_still_told() -> None:
    everything = partition(
        1,
        lacks_room=True,
        flow=replace(THROTTLED, refused_ns=TAKEN_MONOTONIC_NS),
        exporters=(
            record_exporter("audit", state=ExporterState.PAUSED, pause=PAUSE),
            record_exporter("file", state=ExporterState.RETRYING),
        ),
    )
    snapshot = engine_snapshot(state=EngineState.STOPPING, partitions=(everything,), culprit=CULPRIT)
    assert [finding.condition for finding in findings(snapshot)] == [
        Condition.STOPPING,
        Condition.DISK_FULL,
        Condition.REFUSING,
        Condition.THROTTLED,
        Condition.EXPORTER_RETRYING,
        Condition.EXPORTER_PAUSED,
        Condition.BACK_PRESSURED,
    ]


def test_a_partition_that_failed_is_worse_than_an_engine_that_stops() -> None:
    snapshot = engine_snapshot(state=EngineState.STOPPING, partitions=(partition(2, state=PartitionState.FAILED),))
    assert condition_of(snapshot).text == "partition 2 has failed"


def test_a_refusal_is_forgotten_after_a_while() -> None:
    old = partition(1, flow=flow(refused_ns=TAKEN_MONOTONIC_NS - 11 * NS_PER_SECOND))
    assert condition_of(engine_snapshot(partitions=(old,))).condition is Condition.FINE


def test_a_worker_that_is_away_is_said_to_be_started_again() -> None:
    workers = (WorkerSnapshot(worker=2, is_up=False, process_id=None, partitions=(2,), restarts=1),)
    found = condition_of(engine_snapshot(workers=workers))
    assert (found.condition, found.text) == (Condition.STARTING, "worker 2 is away and is started again")


def cluster(**fields: object) -> ClusterSnapshot:
    settled = {"is_up": True, "commit_duration": snapshots.histogram(), "transactions": {}, "fenced": {}}
    return ClusterSnapshot(**{**settled, "restored_rows": 0, "restore_seconds": 0.0, **fields})  # type: ignore[arg-type]


def closed(number: int, seen: ClusterSnapshot | None) -> ClosedSnapshot:
    return ClosedSnapshot(partition=number, state=PartitionState.OPENING, cluster=seen)


def test_a_partition_whose_state_is_being_read_says_how_much_is_left_and_about_how_long_that_takes() -> None:
    half = cluster(restored_rows=250_000, restore_seconds=6.0, restore_remaining_rows=1_000_000)
    snapshot = engine_snapshot(state=EngineState.STARTING, closed=(closed(2, half),))
    assert condition_of(snapshot).text == (
        "partition 2 is being opened: 1,000,000 rows are still to be read, in about 24 s"
    )


def test_before_the_first_row_nobody_guesses_and_a_local_log_is_just_opened() -> None:
    begun = cluster(restore_remaining_rows=7)
    told = [
        condition_of(engine_snapshot(state=EngineState.STARTING, closed=(one,))).text
        for one in (closed(1, begun), closed(1, None))
    ]
    assert told == ["partition 1 is being opened: 7 rows are still to be read", "partition 1 is being opened"]


def test_a_log_that_cannot_be_written_is_a_full_disk_here_and_a_refusal_of_a_cluster() -> None:
    here = partition(1, append_error="partition 1 could not store a write: No space left on device")
    there = partition(
        1, append_error="partition 1 could not store a write: Kafka does not answer", cluster=cluster(is_up=False)
    )
    found = [condition_of(engine_snapshot(partitions=(one,))) for one in (here, there)]
    assert [finding.condition for finding in found] == [Condition.DISK_FULL, Condition.REFUSING]
    assert found[1].text == "partition 1 could not store a write: Kafka does not answer"


def test_a_run_that_is_over_is_not_fine() -> None:
    assert condition_of(engine_snapshot(state=EngineState.FINISHED)).condition is Condition.STOPPING


def test_an_exporter_is_told_of_once_however_many_partitions_it_has() -> None:
    exporter = record_exporter("audit", state=ExporterState.RETRYING)
    snapshot = engine_snapshot(partitions=tuple(partition(n, exporters=(exporter,)) for n in (1, 2, 3)))
    assert [finding.text for finding in findings(snapshot)] == ["audit tries again on partitions 1, 2, 3"]


def test_a_pause_of_which_nothing_is_known_is_still_a_pause() -> None:
    assert paused("audit", None) == "audit is paused; resume it"


def test_a_soft_pause_is_said_to_be_one() -> None:
    assert paused("audit", replace(PAUSE, soft=True, by=None)) == (
        "audit has been softly paused since 06:38:21 UTC; resume it"
    )


def test_a_quiet_engine_is_fine() -> None:
    quiet: EngineSnapshot = snapshots.engine_snapshot()
    assert findings(quiet)[0].condition is Condition.FINE
