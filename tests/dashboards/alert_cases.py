"""For each alert a story, minute by minute: all is well, something breaks, it is mended.

`values` are in promtool's notation: `a+bxn` is a and n steps of b after it, `axn` is a and n more of it, `_` nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TARGET = 'job="penstock", instance="engine:9600"'
# Another that shares the pipeline.
SPARE = 'job="penstock", instance="spare:9600"'
PIPELINE = f'{TARGET}, pipeline="flights"'
PARTITION = f'{PIPELINE}, partition="1"'
EXPORTER = f'{PARTITION}, exporter="file"'
TASK = f'{PIPELINE}, task="parse"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """When, in minutes, the alert must be silent, must fire, and must have ended."""

    alert: str
    severity: str = "ticket"
    values: Mapping[str, str]
    silent: int
    fires: int
    ended: int


# The Unix time in the sample is the sample's own, and stands still from minute 30 to minute 91.
_LATE = {f"penstock_oldest_unexported_record_timestamp_seconds{{{PARTITION}}}": "0+60x30 1800x60 5520+60x500"}
_REFUSED = {
    f'penstock_writes_total{{{PARTITION}, source="user_command", outcome="accepted"}}': "0+6000x600",
    f'penstock_writes_total{{{PARTITION}, source="user_command", outcome="write_rate_limit_exhausted"}}': (
        "0x30 0+600x60 36000x500"
    ),
}
_THROTTLED = {f"penstock_throttled_seconds_total{{{PARTITION}}}": "0x30 0+60x300 18000x500"}

CASES = (
    Case(alert="PenstockDataLate", severity="page", values=_LATE, silent=34, fires=60, ended=150),
    Case(alert="PenstockDataLate", values=_LATE, silent=34, fires=60, ended=480),
    Case(alert="PenstockWritesRefused", severity="page", values=_REFUSED, silent=30, fires=60, ended=150),
    Case(alert="PenstockWritesRefused", values=_REFUSED, silent=30, fires=60, ended=480),
    Case(alert="PenstockThrottledTooMuch", severity="page", values=_THROTTLED, silent=40, fires=110, ended=380),
    Case(alert="PenstockThrottledTooMuch", values=_THROTTLED, silent=110, fires=330, ended=700),
    Case(
        alert="PenstockDown",
        severity="page",
        values={
            f"up{{{TARGET}}}": "1x30 0x30 1x60",
            f'penstock_build_info{{{PIPELINE}, version="1", python_version="3.11", gil="enabled"}}': "1x30 _x30 1x60",
        },
        silent=30,
        fires=35,
        ended=75,
    ),
    Case(
        alert="PenstockPartitionFailed",
        severity="page",
        values={
            f'penstock_partition_state{{{PARTITION}, state="failed"}}': "0x30 1x30 0x60",
            f'penstock_partition_state{{{PARTITION}, state="running"}}': "1x30 0x30 1x60",
        },
        silent=30,
        fires=33,
        ended=75,
    ),
    Case(
        alert="PenstockFailed",
        severity="page",
        values={f'penstock_condition{{{PIPELINE}, condition="failed"}}': "0x30 1x30 0x60"},
        silent=30,
        fires=33,
        ended=75,
    ),
    Case(
        alert="PenstockDiskFull",
        severity="page",
        values={f'penstock_condition{{{PIPELINE}, condition="disk_full"}}': "0x30 1x30 0x60"},
        silent=30,
        fires=35,
        ended=75,
    ),
    Case(
        alert="PenstockAppendFailing",
        severity="page",
        values={f'penstock_append_failures_total{{{PARTITION}, reason="disk_full"}}': "0x30 0+2x30 60x60"},
        silent=30,
        fires=40,
        ended=75,
    ),
    Case(
        alert="PenstockKafkaUnreachable",
        severity="page",
        values={f"penstock_kafka_up{{{PARTITION}}}": "1x30 0x30 1x60"},
        silent=30,
        fires=35,
        ended=75,
    ),
    Case(
        alert="PenstockKafkaFenced",
        values={f'penstock_kafka_fenced_total{{{PARTITION}, reason="timeout"}}': "0x30 1+1x30 31x60"},
        # Three in ten minutes may be.
        silent=33,
        fires=45,
        ended=80,
    ),
    Case(
        alert="PenstockPartitionWithoutOwner",
        severity="page",
        values={f"penstock_partitions_without_owner{{{PIPELINE}}}": "0x30 2x30 0x60"},
        silent=30,
        fires=35,
        ended=75,
    ),
    Case(
        alert="PenstockInstanceDown",
        values={
            f'penstock_build_info{{{SPARE}, pipeline="flights", version="1", python_version="3", gil="on"}}': (
                "1x30 _x30 1x60"
            ),
            f"up{{{SPARE}}}": "1x30 0x30 1x60",
            # The other one goes on.
            f"penstock_instances{{{PIPELINE}}}": "2x120",
            f'penstock_build_info{{{PIPELINE}, version="1", python_version="3.11", gil="enabled"}}': "1x120",
            f"up{{{TARGET}}}": "1x120",
        },
        silent=38,
        fires=45,
        ended=75,
    ),
    Case(
        alert="PenstockInstancesDiffer",
        values={f"penstock_instances_differing{{{PIPELINE}}}": "0x10 1x60 0x60"},
        # A rollout takes its time.
        silent=38,
        fires=45,
        ended=85,
    ),
    Case(
        alert="PenstockRestoreLong",
        values={f"penstock_restore_remaining_rows{{{PARTITION}}}": "0x10 2e6-1e4x40 0x60"},
        silent=20,
        fires=25,
        ended=65,
    ),
    Case(
        alert="PenstockBridgeBlind",
        severity="page",
        values={
            f"penstock_bridge_up{{{PIPELINE}}}": "1x30 0x30 1x60",
            # The same is no failure of a task.
            f'penstock_condition{{{PIPELINE}, condition="failed"}}': "0x30 1x30 0x60",
        },
        silent=31,
        fires=35,
        ended=75,
    ),
    Case(
        alert="PenstockBridgeGaps",
        values={
            f"penstock_bridge_up{{{PIPELINE}}}": "1x150",
            f'penstock_bridge_errors_total{{{PIPELINE}, reason="timeout"}}': "0x30 0+2x40 80x80",
        },
        # A single answer that was not given is forgotten after a quarter of an hour.
        silent=44,
        fires=50,
        ended=100,
    ),
    Case(
        alert="PenstockBridgeOmits",
        values={f"penstock_bridge_omitted_jobs{{{PIPELINE}}}": "0x20 3x50 0x50"},
        silent=45,
        fires=55,
        ended=85,
    ),
    Case(
        alert="PenstockSubtaskSkewed",
        values={
            f"penstock_task_busy_skew_ratio{{{TASK}}}": "1x20 3.2x50 1.1x50",
            # Skewed too, and nobody waits for it.
            f'penstock_task_busy_skew_ratio{{{PIPELINE}, task="write"}}': "4x120",
            f"penstock_bottleneck{{{TASK}}}": "1x120",
            f'penstock_bottleneck{{{PIPELINE}, task="write"}}': "0x120",
        },
        silent=33,
        fires=40,
        ended=90,
    ),
    Case(
        alert="PenstockBridgeDrift",
        values={f"penstock_bridge_config_drifted{{{PIPELINE}}}": "0x20 1x40 0x60"},
        silent=33,
        fires=40,
        ended=80,
    ),
    # As a bridge to Zeebe shows it: who paused it is not known.
    Case(
        alert="PenstockExporterPaused",
        values={
            f'penstock_exporter_state{{{EXPORTER}, state="paused"}}': "0x10 1x80 0x60",
            f'penstock_exporter_state{{{EXPORTER}, state="exporting"}}': "1x10 0x80 1x60",
        },
        silent=65,
        fires=80,
        ended=120,
    ),
    Case(
        alert="PenstockMissing",
        values={f'penstock_build_info{{{PIPELINE}, version="1", python_version="3.11", gil="enabled"}}': "_x40 1x60"},
        silent=8,
        fires=20,
        ended=60,
    ),
    Case(
        alert="PenstockExporterStalled",
        values={
            f"penstock_exporter_backlog_records{{{EXPORTER}}}": "0x30 100+100x30 0x60",
            f'penstock_exported_records_total{{{EXPORTER}, action="exported"}}': "0+1000x30 30000x30 31000+1000x60",
            f'penstock_exported_records_total{{{EXPORTER}, action="skipped"}}': "0x130",
            f'penstock_exporter_state{{{EXPORTER}, state="paused"}}': "0x130",
        },
        silent=30,
        fires=50,
        ended=75,
    ),
    Case(
        alert="PenstockExporterFallingBehind",
        values={f"penstock_exporter_backlog_records{{{EXPORTER}}}": "2000x30 2000+200x60 1000x100"},
        silent=30,
        fires=70,
        ended=140,
    ),
    Case(
        alert="PenstockExporterFailing",
        values={f"penstock_exporter_errors_total{{{EXPORTER}}}": "0x30 0+3x30 90x60"},
        silent=30,
        fires=50,
        ended=80,
    ),
    Case(
        alert="PenstockExporterPaused",
        values={f'penstock_exporter_pause_info{{{EXPORTER}, by="alice"}}': "_x10 1x90 stale"},
        silent=60,
        fires=80,
        ended=115,
    ),
    Case(
        alert="PenstockBackPressureHigh",
        values={f'penstock_back_pressure_ratio{{{TASK}, subtask="0"}}': "0.5x30 0.9x30 0.5x60"},
        silent=30,
        fires=45,
        ended=75,
    ),
    Case(
        alert="PenstockRecordsRejected",
        values={f'penstock_rejected_records_total{{{TASK}, reason="error"}}': "0x30 5x60"},
        silent=30,
        fires=33,
        ended=60,
    ),
    Case(
        alert="PenstockRejectsWaiting",
        values={f"penstock_rejects{{{TASK}}}": "0x10 5x1500 0x60"},
        silent=1000,
        fires=1500,
        ended=1540,
    ),
    Case(
        alert="PenstockDiskFillsUp",
        values={f"penstock_disk_free_bytes{{{PIPELINE}}}": "9e9x30 1e8x30 9e9x90"},
        silent=30,
        fires=40,
        ended=130,
    ),
    Case(
        alert="PenstockLimitsOverridden",
        values={f"penstock_config_overridden{{{PARTITION}}}": "0x10 1x1500 0x60"},
        silent=1000,
        fires=1500,
        ended=1540,
    ),
    Case(
        alert="PenstockCollectorFailed",
        values={f'penstock_collector_success{{{PIPELINE}, collector="tasks"}}': "1x30 0x30 1x60"},
        silent=30,
        fires=40,
        ended=75,
    ),
    Case(
        alert="PenstockPushFailing",
        values={
            f'penstock_otlp_exports_total{{{PIPELINE}, outcome="success"}}': "0+1x30 30x30 31+1x60",
            f'penstock_otlp_exports_total{{{PIPELINE}, outcome="failure"}}': "0x30 0+1x30 30x60",
        },
        silent=30,
        fires=50,
        ended=90,
    ),
    Case(
        alert="PenstockScrapeSlow",
        values={
            f'penstock_scrape_duration_seconds_bucket{{{PIPELINE}, le="1"}}': "0+10x30 300x30 310+10x60",
            f'penstock_scrape_duration_seconds_bucket{{{PIPELINE}, le="2.5"}}': "0+10x130",
            f'penstock_scrape_duration_seconds_bucket{{{PIPELINE}, le="+Inf"}}': "0+10x130",
        },
        silent=30,
        fires=50,
        ended=90,
    ),
    Case(
        alert="PenstockSeriesMany",
        values={f"penstock_series{{{PIPELINE}}}": "500x30 60000x60 500x60"},
        silent=55,
        fires=80,
        ended=105,
    ),
)
