"""What is read off a snapshot: every known combination from the start, and nothing that is unknown."""

from __future__ import annotations

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.measures import AGE_BOUNDS_SECONDS
from engine.core.snapshot import BlockReason, EngineSnapshot, ExporterState, HistogramSnapshot
from exporter.catalogue import ENGINE_METRICS, AnyMetric, Kind, Sample, metric
from tests.support.snapshots import (
    STARTED_WALL_NS,
    bridge_snapshot,
    bridged_snapshot,
    busy_snapshot,
    engine_snapshot,
    flow,
    histogram,
    partition,
    record_exporter,
    task,
)


def read(name: str, snapshot: EngineSnapshot) -> dict[tuple[str, ...], object]:
    """Samples by labels, the pipeline left out."""
    samples = list(metric(name).read(snapshot))
    assert all(labels[0] == snapshot.pipeline for labels, _ in samples)
    by_labels = {labels[1:]: value for labels, value in samples}
    assert len(by_labels) == len(samples), "no labels twice"
    return by_labels


def shown(one: AnyMetric) -> list[Sample]:
    """What a metric says of a busy engine, of another one's job, and of the bridge to that."""
    return [sample for seen in (busy_snapshot(), bridged_snapshot(), bridge_snapshot()) for sample in one.read(seen)]


def test_every_metric_gives_as_many_label_values_as_it_has_labels_and_never_twice_the_same() -> None:
    for one in (m for group in ENGINE_METRICS.values() for m in group):
        samples = shown(one)
        assert samples, f"{one.name} shows nothing of a busy engine"
        assert {len(labels) for labels, _ in samples} == {len(one.labels)}, one.name
        assert len({labels for labels, _ in samples}) == len(samples), one.name


def test_every_value_of_a_closed_label_is_one_of_its_list() -> None:
    for one in (m for group in ENGINE_METRICS.values() for m in group):
        for labels, _ in shown(one):
            for label, value in zip(one.labels, labels, strict=True):
                assert label.values is None or value in label.values, (one.name, label.name)


def test_a_state_set_has_every_state_and_at_most_one_1_for_the_same_other_labels() -> None:
    for one in (m for group in ENGINE_METRICS.values() for m in group if m.kind is Kind.STATE_SET):
        by_owner: dict[tuple[str, ...], list[object]] = {}
        for labels, value in shown(one):
            by_owner.setdefault(labels[:-1], []).append(value)
        states = one.labels[-1].values
        assert states is not None
        for values in by_owner.values():
            assert sorted(map(str, values)) == ["0"] * (len(states) - 1) + ["1"]


def test_writes_start_at_0_for_every_source_and_outcome() -> None:
    writes = read("penstock_writes_total", engine_snapshot())
    assert len(writes) == 15
    assert set(writes.values()) == {0}


def test_flags_and_counters_of_a_quiet_partition_are_0() -> None:
    quiet = engine_snapshot()
    for name in ("penstock_throttled", "penstock_throttled_seconds_total", "penstock_config_overridden"):
        assert read(name, quiet) == {("1",): 0}


@pytest.mark.parametrize(
    "name",
    [
        "penstock_write_rate_limit_records_per_second",
        "penstock_write_rate_limit_max_records_per_second",
        "penstock_ramp_up_rate_records_per_second",
        "penstock_throttle_factor",
        "penstock_acceptable_backlog_records",
        "penstock_exporting_rate_records_per_second",
        "penstock_partition_load_ratio",
        "penstock_request_limit",
        "penstock_exporting_backlog_records",
        "penstock_oldest_unexported_record_timestamp_seconds",
        "penstock_last_processed_position",
        "penstock_disk_free_bytes",
    ],
)
def test_what_is_unknown_is_absent_and_not_0(name: str) -> None:
    assert read(name, engine_snapshot()) == {}


def test_a_known_0_is_0_and_not_absent() -> None:
    known = engine_snapshot(partitions=(partition(1, backlog_records=0, flow=flow(throttle_factor=0.0)),))
    assert read("penstock_exporting_backlog_records", known) == {("1",): 0}
    assert read("penstock_throttle_factor", known) == {("1",): 0.0}


def test_back_pressured_seconds_carry_every_reason_from_the_start() -> None:
    one = task("parse", back_pressured_ns={BlockReason.BUFFER: 1_500_000_000})
    seconds = read("penstock_task_back_pressured_seconds_total", engine_snapshot(tasks=(one,)))
    assert seconds == {
        ("parse", "0", "buffer"): 1.5,
        ("parse", "0", "write_limit"): 0.0,
        ("parse", "0", "request_limit"): 0.0,
        ("parse", "0", "inter_partition"): 0.0,
        ("parse", "0", "disk_full"): 0.0,
    }


def test_back_pressure_is_absent_before_the_first_sample() -> None:
    fresh = engine_snapshot(tasks=(task("parse"),))
    for name in ("ratio", "level", "samples"):
        assert read(f"penstock_back_pressure_{name}", fresh) == {}


def test_the_bottleneck_is_1_for_one_task_and_0_for_the_others() -> None:
    culprits = read("penstock_bottleneck", busy_snapshot())
    assert culprits == {("flights",): 0, ("parse",): 0, ("processor",): 0, ("file",): 1, ("flow-control",): 0}


def test_rejected_records_are_added_up_over_subtasks() -> None:
    two = (task("parse", 0, rejected={"error": 2}), task("parse", 1, rejected={"error": 3, "too_long": 1}))
    rejected = read("penstock_rejected_records_total", engine_snapshot(tasks=two))
    assert rejected == {("parse", "error"): 5, ("parse", "too_long"): 1}


def test_histograms_of_partitions_are_added_up() -> None:
    two = (
        partition(1, append_duration=histogram(1, 2, total=0.5)),
        partition(2, append_duration=histogram(0, 3, 4, total=0.25)),
    )
    (total,) = read("penstock_append_duration_seconds", engine_snapshot(partitions=two)).values()
    assert total == histogram(1, 5, 4, total=0.75)


def test_histograms_of_different_bounds_are_never_added_up() -> None:
    two = (partition(1), partition(2, append_duration=histogram(bounds=AGE_BOUNDS_SECONDS)))
    with pytest.raises(ValueError, match="cannot be added"):
        read("penstock_append_duration_seconds", engine_snapshot(partitions=two))


def test_the_export_duration_is_told_by_exporter_over_all_partitions() -> None:
    def one(number: int, *counts: int) -> object:
        exporters = (record_exporter("file", export_duration=histogram(*counts)), record_exporter("http"))
        return partition(number, exporters=exporters)

    durations = read("penstock_export_duration_seconds", engine_snapshot(partitions=(one(1, 1), one(2, 4))))
    assert durations == {("file",): histogram(5), ("http",): histogram()}


def test_the_fullest_disk_is_told() -> None:
    two = (partition(1, disk_free_bytes=20), partition(2, disk_free_bytes=10), partition(3))
    assert read("penstock_disk_free_bytes", engine_snapshot(partitions=two)) == {(): 10}


def test_times_since_the_epoch_are_in_seconds() -> None:
    assert read("penstock_start_time_seconds", engine_snapshot()) == {(): STARTED_WALL_NS / NS_PER_SECOND}
    oldest = read("penstock_oldest_unexported_record_timestamp_seconds", busy_snapshot())
    assert oldest[("1",)] == 1_700_000_030.5


def test_exported_and_skipped_records_are_told_apart() -> None:
    one = record_exporter("file", exported_records=5, skipped_records=2, state=ExporterState.PAUSED)
    snapshot = engine_snapshot(partitions=(partition(1, exporters=(one,)),))
    assert read("penstock_exported_records_total", snapshot) == {
        ("1", "file", "exported"): 5,
        ("1", "file", "skipped"): 2,
    }
    assert read("penstock_exporter_state", snapshot)[("1", "file", "paused")] == 1


def test_the_buckets_in_the_catalogue_are_those_of_the_engine() -> None:
    for one in (m for group in ENGINE_METRICS.values() for m in group if m.kind is Kind.HISTOGRAM):
        for _, value in one.read(busy_snapshot()):
            assert isinstance(value, HistogramSnapshot)
            assert value.bounds == one.buckets, one.name
