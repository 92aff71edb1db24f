"""The catalogue holds what was promised, finds it by name, and can be imported by anyone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from exporter.catalogue import ENGINE_METRICS, Kind, UnknownMetricError, metric, metric_of_sample, metrics
from exporter.catalogue.labels import COLLECTORS

# Names and labels that do not change (besides `pipeline`, which is on all of them).
PROMISED = {
    "penstock_back_pressure_ratio": "task subtask",
    "penstock_back_pressure_level": "task subtask level",
    "penstock_task_busy_seconds_total": "task subtask",
    "penstock_task_idle_seconds_total": "task subtask",
    "penstock_task_back_pressured_seconds_total": "task subtask reason",
    "penstock_task_records_in_total": "task subtask",
    "penstock_task_records_out_total": "task subtask",
    "penstock_buffers_in_use": "task subtask",
    "penstock_buffers": "task subtask",
    "penstock_exporting_backlog_records": "partition",
    "penstock_exporter_backlog_records": "partition exporter",
    "penstock_exporting_rate_records_per_second": "partition",
    "penstock_writes_total": "partition source outcome",
    "penstock_write_rate_limit_records_per_second": "partition",
    "penstock_write_rate_limit_max_records_per_second": "partition",
    "penstock_ramp_up_rate_records_per_second": "partition",
    "penstock_throttled": "partition",
    "penstock_throttled_seconds_total": "partition",
    "penstock_throttle_factor": "partition",
    "penstock_acceptable_backlog_records": "partition",
    "penstock_request_limit": "partition",
    "penstock_requests_in_flight": "partition",
    "penstock_oldest_unexported_record_timestamp_seconds": "partition",
    "penstock_exporter_oldest_unexported_record_timestamp_seconds": "partition exporter",
    "penstock_last_written_position": "partition",
    "penstock_last_processed_position": "partition",
    "penstock_exporter_last_acknowledged_position": "partition exporter",
    "penstock_exported_records_total": "partition exporter action",
    "penstock_exporter_errors_total": "partition exporter",
    "penstock_exporter_retries_total": "partition exporter",
    "penstock_exporter_state": "partition exporter state",
    "penstock_append_duration_seconds": "",
    "penstock_command_duration_seconds": "",
    "penstock_processing_duration_seconds": "",
    "penstock_export_duration_seconds": "exporter",
    "penstock_end_to_end_duration_seconds": "",
    "penstock_partition_load_ratio": "partition",
    "penstock_bottleneck": "task",
    "penstock_rejected_records_total": "task reason",
    "penstock_append_failures_total": "partition reason",
    "penstock_disk_free_bytes": "",
    "penstock_config_overridden": "partition",
    "penstock_build_info": "version python_version gil",
    "penstock_snapshot_age_seconds": "",
    "penstock_scrape_duration_seconds": "",
    "penstock_series": "",
}


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_metric_has_its_promised_labels(name: str) -> None:
    assert metric(name).label_names == ("pipeline", *PROMISED[name].split())


def test_no_two_metrics_share_a_sample_name() -> None:
    names = [name for one in metrics() for name in one.sample_names]
    assert len(set(names)) == len(names)


def test_an_unknown_name_raises_and_names_the_nearest() -> None:
    with pytest.raises(UnknownMetricError, match="did you mean 'penstock_throttled'"):
        metric("penstock_throtled")


@pytest.mark.parametrize("suffix", ["_bucket", "_count", "_sum"])
def test_a_sample_of_a_histogram_is_found_and_its_bare_name_is_not(suffix: str) -> None:
    name = "penstock_append_duration_seconds"
    assert metric_of_sample(name + suffix) is metric(name)
    assert metric(name).kind is Kind.HISTOGRAM
    with pytest.raises(UnknownMetricError):
        metric_of_sample(name)


def test_the_collectors_are_the_values_of_their_label() -> None:
    assert tuple(ENGINE_METRICS) == COLLECTORS


def test_the_catalogue_needs_no_metrics_library_and_no_web_framework() -> None:
    unwanted = "{'starlette', 'uvicorn', 'prometheus_client', 'opentelemetry'}"
    code = f"import sys, exporter.catalogue; print(sorted({unwanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
