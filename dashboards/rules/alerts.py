"""Alerts: symptoms that users notice wake somebody up, causes that lead there become tickets.

The sentences are for a reader who does not know this file: what is the case, with its number; what it leads to.
"""

from __future__ import annotations

from dashboards.places import BoardUid
from dashboards.promql import (
    Matcher,
    Scope,
    Selector,
    call,
    down,
    increase,
    instance_down,
    is_,
    is_not,
    largest_without,
    mean_without,
    predicted,
    quantile,
    rate,
    select,
    smallest_without,
    total_without,
)
from dashboards.rules import recording
from dashboards.rules.objectives import Objective
from dashboards.rules.rule import Alert, Group, Severity
from exporter.catalogue import BACK_PRESSURE_LOW_MAX, Condition

# Who has a partition may change: nothing is joined on `instance`.
_EXPORTER = ("job", "pipeline", "partition", "exporter")
_HOUR = 3600
_DISK_BYTES_MIN = 512 * 1024 * 1024
_SERIES_MAX = 50_000
_SCRAPE_SECONDS_MAX = 1
# One of two subtasks that does all the work is at 2.
_SKEW_MAX = 1.5


def _select(name: str, *matchers: Matcher) -> Selector:
    return select(name, *matchers, scope=Scope.RULE)


FRESHNESS = Objective(budget=0.01, share=lambda window: recording.late_share(window).series)
ACCEPTANCE = Objective(
    budget=0.001,
    share=lambda window: recording.refused_writes(window).series / recording.writes(window).series,
)
FULL_RATE = Objective(budget=0.05, share=lambda window: recording.throttled_share(window).series)


def _late(severity: Severity) -> Alert:
    return Alert(
        name="PenstockDataLate",
        expression=FRESHNESS.burning(severity),
        severity=severity,
        summary="Records of {{ $labels.pipeline }} reach the outside more than 5 minutes late",
        description="Over the longer window the oldest unexported record of {{ $labels.pipeline }} was older than 5 "
        "minutes for {{ $value | humanizePercentage }} of the time; 1 % is allowed. What reads behind the exporters "
        "sees old data.",
        board=BoardUid.EXPORTING,
        for_="2m",
    )


def _refused(severity: Severity) -> Alert:
    return Alert(
        name="PenstockWritesRefused",
        expression=ACCEPTANCE.burning(severity),
        severity=severity,
        summary="{{ $labels.pipeline }} refuses {{ $value | humanizePercentage }} of the writes",
        description="{{ $value | humanizePercentage }} of the records that asked to be written to "
        "{{ $labels.pipeline }} were refused over the longer window; 0.1 % is allowed. Callers see status 429.",
        board=BoardUid.FLOW_CONTROL,
        for_="2m",
    )


def _throttled(severity: Severity) -> Alert:
    return Alert(
        name="PenstockThrottledTooMuch",
        expression=FULL_RATE.burning(severity),
        severity=severity,
        summary="{{ $labels.pipeline }} was throttled {{ $value | humanizePercentage }} of the time",
        description="Over the longer window the partitions of {{ $labels.pipeline }} were throttled for "
        "{{ $value | humanizePercentage }} of the time; 5 % is allowed. Exporters are slower than what is written: "
        "the backlog is held, the writers are slowed down.",
        board=BoardUid.FLOW_CONTROL,
        for_="2m",
    )


SYMPTOMS = Group(
    name="penstock.symptoms",
    rules=tuple(alert(severity) for alert in (_late, _refused, _throttled) for severity in Severity),
)

_failed = largest_without(_select("penstock_partition_state", is_("state", "failed")), "instance", "state")


def _condition(condition: Condition) -> Selector:
    return _select("penstock_condition", is_("condition", condition))


_exported = total_without(rate(_select("penstock_exported_records_total"), "5m"), "instance", "action")
_paused = _select("penstock_exporter_state", is_("state", "paused")).equals("1")
_backlog = largest_without(_select("penstock_exporter_backlog_records"), "instance")
_disk_free = _select("penstock_disk_free_bytes")
_bridge_up = _select("penstock_bridge_up")
_paused_by = _select("penstock_exporter_pause_info")

STANDSTILL = Group(
    name="penstock.standstill",
    rules=(
        Alert(
            name="PenstockDown",
            expression=largest_without(down(Scope.RULE), "version", "python_version", "gil"),
            severity=Severity.PAGE,
            summary="{{ $labels.pipeline }} on {{ $labels.instance }} no longer answers",
            description="Prometheus cannot scrape {{ $labels.instance }} of the job {{ $labels.job }}, which ran "
            "{{ $labels.pipeline }} within the last day, or nobody is scraped any more who runs it. Either the engine "
            "is gone or its management port is.",
            board=BoardUid.OVERVIEW,
            for_="1m",
            drill_down=("job", "pipeline"),
        ),
        Alert(
            name="PenstockFailed",
            expression=largest_without(
                _condition(Condition.FAILED)
                .unless(_failed.equals("1"), "job", "pipeline")
                # A bridge that gets no answer has an alert of its own.
                .unless(_bridge_up, "job", "pipeline"),
                "instance",
                "condition",
            ).equals("1"),
            severity=Severity.PAGE,
            summary="{{ $labels.pipeline }} has failed",
            description="A task of {{ $labels.pipeline }} has failed, and with it the run: nothing is read, processed "
            "or exported until it is started again. /actuator/health says which task, and why.",
            board=BoardUid.OVERVIEW,
            for_="30s",
        ),
        Alert(
            name="PenstockDiskFull",
            expression=largest_without(_condition(Condition.DISK_FULL), "instance", "condition").equals("1"),
            severity=Severity.PAGE,
            summary="{{ $labels.pipeline }} waits for room on its disk",
            description="The disk of {{ $labels.pipeline }} is full, or nearly: sources wait and callers see status "
            "507. Exporting goes on and makes room; nothing that was acknowledged is lost.",
            board=BoardUid.EXPORTING,
            for_="1m",
        ),
        Alert(
            name="PenstockPartitionFailed",
            expression=_failed.equals("1"),
            severity=Severity.PAGE,
            summary="Partition {{ $labels.partition }} of {{ $labels.pipeline }} has failed",
            description="Partition {{ $labels.partition }} of {{ $labels.pipeline }} stands still: nothing is "
            "written, processed or exported there until somebody helps.",
            board=BoardUid.OVERVIEW,
            for_="30s",
            drill_down=("pipeline", "partition"),
        ),
        Alert(
            name="PenstockAppendFailing",
            expression=total_without(
                increase(_select("penstock_append_failures_total"), "5m"), "instance", "reason"
            ).above("0"),
            severity=Severity.PAGE,
            summary="The log of {{ $labels.pipeline }}, partition {{ $labels.partition }}, cannot be written",
            description="{{ $value | humanize }} units of records could not be stored in the last 5 minutes. Nothing "
            "of them was stored; callers see status 507 or 503, sources wait.",
            board=BoardUid.OVERVIEW,
            for_="1m",
            drill_down=("pipeline", "partition"),
        ),
    ),
)

CLUSTER = Group(
    name="penstock.kafka",
    rules=(
        Alert(
            name="PenstockKafkaUnreachable",
            expression=smallest_without(_select("penstock_kafka_up"), "instance").equals("0"),
            severity=Severity.PAGE,
            summary="Partition {{ $labels.partition }} of {{ $labels.pipeline }} reaches no broker",
            description="No broker of the cluster that keeps the log of {{ $labels.pipeline }} answers partition "
            "{{ $labels.partition }}. Writes wait and are tried again; callers see status 503. Nothing is lost.",
            board=BoardUid.FLOW_CONTROL,
            for_="1m",
            drill_down=("pipeline", "partition"),
        ),
        Alert(
            name="PenstockKafkaFenced",
            expression=total_without(
                increase(_select("penstock_kafka_fenced_total", is_("reason", "timeout")), "10m"), "instance", "reason"
            ).above("3"),
            severity=Severity.TICKET,
            summary="Commits of {{ $labels.pipeline }}, partition {{ $labels.partition }}, take too long for Kafka",
            description="Kafka aborted {{ $value | humanize }} transactions of partition {{ $labels.partition }} in "
            "the last 10 minutes because they were not finished in time. Each is written again; all writers wait "
            "meanwhile.",
            board=BoardUid.FLOW_CONTROL,
            for_="0s",
            drill_down=("pipeline", "partition"),
        ),
        Alert(
            name="PenstockPartitionWithoutOwner",
            expression=largest_without(_select("penstock_partitions_without_owner"), "instance").above("0"),
            severity=Severity.PAGE,
            summary="{{ $value | humanize }} partitions of {{ $labels.pipeline }} have no owner",
            description="No instance of {{ $labels.pipeline }} has had {{ $value | humanize }} of its partitions open "
            "for a minute: what is meant for them waits in its topic, callers see status 503.",
            board=BoardUid.FLOW_CONTROL,
            for_="1m",
        ),
        Alert(
            name="PenstockInstanceDown",
            expression=largest_without(instance_down(Scope.RULE), "version", "python_version", "gil"),
            severity=Severity.TICKET,
            summary="Instance {{ $labels.instance }} of {{ $labels.pipeline }} does not answer",
            description="Prometheus has not been able to scrape {{ $labels.instance }} of the job {{ $labels.job }} "
            "for 10 minutes. Other instances of {{ $labels.pipeline }} are there and have its partitions; one more "
            "that goes may be one too many.",
            board=BoardUid.FLOW_CONTROL,
            for_="10m",
            drill_down=("job", "pipeline"),
        ),
        Alert(
            name="PenstockInstancesDiffer",
            expression=largest_without(_select("penstock_instances_differing"), "instance").above("0"),
            severity=Severity.TICKET,
            summary="Instances of {{ $labels.pipeline }} do not run the same configuration",
            description="For half an hour instances of {{ $labels.pipeline }} have run different configurations: what "
            "becomes of a record depends on which of them has its partition.",
            board=BoardUid.FLOW_CONTROL,
            for_="30m",
        ),
        Alert(
            name="PenstockRestoreLong",
            expression=largest_without(_select("penstock_restore_remaining_rows"), "instance").above("0"),
            severity=Severity.TICKET,
            summary="Partition {{ $labels.partition }} of {{ $labels.pipeline }} is still being opened",
            description="The state of partition {{ $labels.partition }} has been read from the cluster for 10 minutes; "
            "{{ $value | humanize }} rows are left. Until then the pipeline does not run.",
            board=BoardUid.FLOW_CONTROL,
            for_="10m",
            drill_down=("pipeline", "partition"),
        ),
    ),
)

BRIDGES = Group(
    name="penstock.bridges",
    rules=(
        Alert(
            name="PenstockBridgeBlind",
            expression=smallest_without(_bridge_up, "instance").equals("0"),
            severity=Severity.PAGE,
            summary="The bridge {{ $labels.pipeline }} gets no answer",
            description="What {{ $labels.pipeline }} looks at does not answer, or not as it should. Nothing is shown "
            "of it, and no other alert can speak of it: it may be down, or only the bridge cut off. /actuator/health "
            "of the bridge says why.",
            board=BoardUid.OVERVIEW,
            for_="2m",
        ),
        Alert(
            name="PenstockBridgeGaps",
            expression=total_without(
                increase(_select("penstock_bridge_errors_total"), "15m").only_where(
                    _bridge_up.equals("1"), "job", "instance", "pipeline"
                ),
                "instance",
            ).above("0"),
            severity=Severity.TICKET,
            summary="Parts of what {{ $labels.pipeline }} looks at do not answer",
            description="{{ $value | humanize }} answers were not given to the bridge {{ $labels.pipeline }} in the "
            "last 15 minutes ({{ $labels.reason }}), and some were missing all the time before. What stands on one of "
            "them alone is unknown.",
            board=BoardUid.OVERVIEW,
            for_="15m",
        ),
        Alert(
            name="PenstockBridgeOmits",
            expression=largest_without(_select("penstock_bridge_omitted_jobs"), "instance").above("0"),
            severity=Severity.TICKET,
            summary="The bridge {{ $labels.pipeline }} leaves {{ $value | humanize }} jobs or threads out",
            description="There are more jobs, subtasks or threads behind {{ $labels.pipeline }} than one bridge looks "
            "at. {{ $value | humanize }} of them are shown nowhere, and no alert can speak of them.",
            board=BoardUid.OVERVIEW,
            for_="30m",
        ),
        Alert(
            name="PenstockSubtaskSkewed",
            expression=largest_without(
                _select("penstock_task_busy_skew_ratio").only_where(
                    _select("penstock_bottleneck").equals("1"), "job", "instance", "pipeline", "task"
                ),
                "instance",
            ).above(f"{_SKEW_MAX:g}"),
            severity=Severity.TICKET,
            summary="One subtask of {{ $labels.task }} holds {{ $labels.pipeline }} up",
            description="The busiest subtask of {{ $labels.task }} works {{ $value | humanize }} times as much as the "
            "mean of them, and the others wait for it. More subtasks do not help: its keys are unevenly spread.",
            board=BoardUid.FLINK,
            for_="15m",
            drill_down=("pipeline", "task"),
        ),
        Alert(
            name="PenstockBridgeDrift",
            expression=largest_without(_select("penstock_bridge_config_drifted"), "instance").equals("1"),
            severity=Severity.TICKET,
            summary="Partitions of {{ $labels.pipeline }} have different limits",
            description="The partitions behind {{ $labels.pipeline }} are not configured alike for a quarter of an "
            "hour. A change that reached only some of them makes the one with the lowest limit the slowest.",
            board=BoardUid.ZEEBE,
            for_="15m",
        ),
    ),
)

CAUSES = Group(
    name="penstock.causes",
    rules=(
        Alert(
            name="PenstockMissing",
            expression=call("absent", _select("penstock_build_info")),
            severity=Severity.TICKET,
            summary="Prometheus sees no Penstock engine at all",
            description="No target exposes penstock_build_info. Either no engine runs or none is scraped; all other "
            "alerts are blind.",
            board=BoardUid.OVERVIEW,
            for_="10m",
            drill_down=(),
        ),
        Alert(
            name="PenstockExporterStalled",
            expression=_backlog.above("0").only_where(_exported.equals("0"), *_EXPORTER).unless(_paused, *_EXPORTER),
            severity=Severity.TICKET,
            summary="Exporter {{ $labels.exporter }} stands still on partition {{ $labels.partition }}",
            description="{{ $labels.exporter }} has {{ $value | humanize }} records before it and has exported none "
            "of partition {{ $labels.partition }} of {{ $labels.pipeline }} for 5 minutes. The backlog grows up to "
            "the acceptable one, then writers are throttled.",
            board=BoardUid.EXPORTING,
            drill_down=("pipeline", "partition", "exporter"),
        ),
        Alert(
            name="PenstockExporterFallingBehind",
            expression=largest_without(
                predicted(_select("penstock_exporter_backlog_records"), "30m", 4 * _HOUR), "instance"
            )
            .above(_backlog * "2")
            .only_where(_backlog.above("1000"))
            .unless(_paused, *_EXPORTER),
            severity=Severity.TICKET,
            summary="The backlog of {{ $labels.exporter }} will have doubled within 4 hours",
            description="As it grew over the last half hour, the backlog of {{ $labels.exporter }} on partition "
            "{{ $labels.partition }} of {{ $labels.pipeline }} reaches {{ $value | humanize }} records in 4 hours.",
            board=BoardUid.EXPORTING,
            for_="15m",
            drill_down=("pipeline", "partition", "exporter"),
        ),
        Alert(
            name="PenstockExporterFailing",
            expression=total_without(
                increase(_select("penstock_exporter_errors_total"), "5m"), "instance", "partition"
            ).above("0"),
            severity=Severity.TICKET,
            summary="Exporter {{ $labels.exporter }} of {{ $labels.pipeline }} keeps failing",
            description="{{ $value | humanize }} calls of {{ $labels.exporter }} failed in the last 5 minutes, and "
            "some did all the time before. They are repeated with growing pauses; nothing is lost.",
            board=BoardUid.EXPORTING,
            for_="10m",
            drill_down=("pipeline", "exporter"),
        ),
        Alert(
            name="PenstockExporterPaused",
            # Who paused an exporter of another engine is not known, but that it is.
            expression=largest_without(_paused_by, "instance").otherwise(
                largest_without(_paused.unless(_paused_by, *_EXPORTER), "instance", "state")
            ),
            severity=Severity.TICKET,
            summary="Exporter {{ $labels.exporter }} has been paused for an hour"
            "{{ if $labels.by }} by {{ $labels.by }}{{ end }}",
            description="{{ $labels.exporter }} is paused on partition {{ $labels.partition }} of "
            "{{ $labels.pipeline }}. It still counts in the backlog: writers will be throttled.",
            board=BoardUid.EXPORTING,
            for_="1h",
            drill_down=("pipeline", "partition", "exporter"),
        ),
        Alert(
            name="PenstockBackPressureHigh",
            expression=mean_without(
                largest_without(_select("penstock_back_pressure_ratio"), "instance"), "subtask"
            ).above(f"{BACK_PRESSURE_LOW_MAX:g}"),
            severity=Severity.TICKET,
            summary="Task {{ $labels.task }} of {{ $labels.pipeline }} is held back",
            description="{{ $labels.task }} could not hand on its output in {{ $value | humanizePercentage }} of the "
            "samples. The task behind it, or the write limit, is slower than it: the board says which.",
            board=BoardUid.BACK_PRESSURE,
            for_="10m",
        ),
        Alert(
            name="PenstockRecordsRejected",
            expression=total_without(
                increase(_select("penstock_rejected_records_total"), "15m"), "instance", "reason"
            ).above("0"),
            severity=Severity.TICKET,
            summary="Task {{ $labels.task }} of {{ $labels.pipeline }} puts records aside",
            description="{{ $labels.task }} could not take {{ $value | humanize }} records in the last 15 minutes. "
            "They are kept, with the reason, and wait for somebody.",
            board=BoardUid.BACK_PRESSURE,
            for_="0s",
            drill_down=("pipeline", "task"),
        ),
        Alert(
            name="PenstockRejectsWaiting",
            expression=total_without(_select("penstock_rejects"), "instance").above("0"),
            severity=Severity.TICKET,
            summary="Rejects of task {{ $labels.task }} of {{ $labels.pipeline }} wait for a day",
            description="{{ $value | humanize }} values that {{ $labels.task }} has set aside are kept since a day; "
            "nobody has tried them again or dropped them.",
            board=BoardUid.BACK_PRESSURE,
            for_="1d",
            drill_down=("pipeline", "task"),
        ),
        Alert(
            name="PenstockDiskFillsUp",
            expression=_disk_free.below(str(_DISK_BYTES_MIN)).otherwise(
                _disk_free.only_where(predicted(_disk_free, "1h", 4 * _HOUR).below("0"))
            ),
            severity=Severity.TICKET,
            summary="The disk of {{ $labels.instance }} is nearly full",
            description="{{ $value | humanize1024 }}B are free for the data of {{ $labels.pipeline }}; that is less "
            "than 512 MiB, or as it went in the last hour it is gone in 4 hours. Below data.freeSpace writes stop.",
            board=BoardUid.EXPORTING,
        ),
        Alert(
            name="PenstockLimitsOverridden",
            expression=largest_without(_select("penstock_config_overridden"), "instance", "partition").equals("1"),
            severity=Severity.TICKET,
            summary="Limits of {{ $labels.pipeline }} have been set by hand for a day",
            description="Limits set at run time stand in place of the configured ones of {{ $labels.pipeline }}. "
            "Unless flowControl.persistOverrides is set, a restart takes them away: configure them, or take them back.",
            board=BoardUid.FLOW_CONTROL,
            for_="1d",
        ),
        Alert(
            name="PenstockCollectorFailed",
            expression=_select("penstock_collector_success").equals("0"),
            severity=Severity.TICKET,
            summary="{{ $labels.instance }} exposes only a part of its metrics",
            description="The part {{ $labels.collector }} of the metrics of {{ $labels.pipeline }} cannot be read. "
            "Boards and alerts that need it are blind.",
            board=BoardUid.EXPORTER_SELF,
        ),
        Alert(
            name="PenstockPushFailing",
            expression=total_without(
                increase(_select("penstock_otlp_exports_total", is_not("outcome", "success")), "15m"), "outcome"
            ).above("1"),
            severity=Severity.TICKET,
            summary="{{ $labels.instance }} cannot push its metrics",
            description="{{ $value | humanize }} pushes of {{ $labels.pipeline }} to OpenTelemetry failed or "
            "were left out in the last 15 minutes. What reads behind the collector has gaps; Prometheus has not.",
            board=BoardUid.EXPORTER_SELF,
            for_="10m",
        ),
        Alert(
            name="PenstockScrapeSlow",
            expression=quantile(
                0.99, "penstock_scrape_duration_seconds", "job", "instance", "pipeline", scope=Scope.RULE, window="5m"
            ).above(str(_SCRAPE_SECONDS_MAX)),
            severity=Severity.TICKET,
            summary="Scrapes of {{ $labels.instance }} take {{ $value | humanizeDuration }}",
            description="One scrape in a hundred of {{ $labels.pipeline }} takes longer than a second "
            "({{ $value | humanizeDuration }}). Past the scrape timeout the metrics are gone.",
            board=BoardUid.EXPORTER_SELF,
            for_="10m",
        ),
        Alert(
            name="PenstockSeriesMany",
            expression=_select("penstock_series").above(str(_SERIES_MAX)),
            severity=Severity.TICKET,
            summary="{{ $labels.instance }} exposes {{ $value | humanize }} series",
            description="{{ $labels.pipeline }} exposes {{ $value | humanize }} series; more than 50 000 cost "
            "Prometheus more than they tell. Tasks, partitions and parallelism decide how many there are.",
            board=BoardUid.EXPORTER_SELF,
            for_="30m",
        ),
    ),
)

ALERT_GROUPS = (SYMPTOMS, STANDSTILL, CLUSTER, BRIDGES, CAUSES)
