"""Flow control: what is admitted, what is refused, which limit holds, and why.

Rows and panels that the documentation of the model system shows bear its names: row *Processing* with "Exporting
backlog", row *Logstream* with "Accepted writes by source", "Measured exporting rate" and "Write rate limits".
"""

from __future__ import annotations

from dashboards import throttling
from dashboards.board import Board, Row
from dashboards.boards import common, instances, sources
from dashboards.boards.common import PARTITION
from dashboards.colours import Colour
from dashboards.panel import Column, Gauge, Look, Query, Stat, StateTimeline, Step, Table, TimeSeries, Word
from dashboards.places import BoardUid
from dashboards.promql import (
    NOW,
    Expression,
    Matcher,
    age,
    call,
    increase,
    is_,
    is_not,
    largest,
    one_of,
    rate,
    select,
    smallest,
    total,
)
from dashboards.units import Display
from exporter.catalogue import GATEWAY_CODES

_LOAD_STEPS = (Step(None, Colour.GOOD), Step(0.7, Colour.LOW), Step(0.9, Colour.BAD))
_SOURCES = {
    "user_command": Colour.USER_COMMAND,
    "processing_result": Colour.PROCESSING_RESULT,
    "inter_partition": Colour.INTER_PARTITION,
    "scheduled": Colour.SCHEDULED,
    "internal": Colour.INTERNAL,
}
_OVERRIDDEN = {0: Word("as configured", Colour.GOOD), 1: Word("set by hand", Colour.LOW)}
# Answers of the gateway that say what is wrong with a request, and that say what is wrong here.
_CALLERS_FAULTS = tuple(code for code in GATEWAY_CODES if 400 <= code < 500 and code != 429)
_OWN_FAULTS = tuple(code for code in GATEWAY_CODES if code >= 500)

_limit = largest(select("penstock_write_rate_limit_records_per_second"), *PARTITION)
_limit_max = largest(select("penstock_write_rate_limit_max_records_per_second"), *PARTITION)
_exporting_rate = largest(select("penstock_exporting_rate_records_per_second"), *PARTITION)


def _refused(outcome: str, source: Matcher) -> Expression:
    return total(rate(select("penstock_writes_total", source, is_("outcome", outcome))), *PARTITION)


def _answered(*codes: int) -> Expression:
    """Requests per second by status."""
    return total(rate(select("penstock_gateway_requests_total", one_of("code", *map(str, codes)))), "code")


_NOW = Row(
    id=10,
    title=None,
    panels=(
        Stat(
            id=11,
            title="Partitions throttled now",
            shows="How many partitions hold their write limit below the configured one at this moment.",
            healthy="0.",
            otherwise="look at Exporting backlog below, then at the board Exporting for the exporter that is slow.",
            queries=(
                Query(
                    expression=total(throttling.throttled_now()).with_unit(Display.COUNT),
                    legend="throttled",
                    instant=True,
                ),
            ),
            steps=(Step(None, Colour.GOOD), Step(1, Colour.THROTTLED)),
            width=4,
            height=4,
        ),
        Stat(
            id=12,
            title="Range throttled",
            shows="How much of the chosen range the partitions were throttled; the mean over them.",
            healthy="0 %, or a few per cent after a burst.",
            otherwise="the exporters are slower than what is written, for longer than a burst: make them faster, or "
            "write less.",
            queries=(Query(expression=throttling.share_of_range(), legend="throttled", instant=True),),
            decimals=1,
            steps=(Step(None, Colour.GOOD), Step(0.01, Colour.THROTTLED), Step(0.5, Colour.BAD)),
            width=4,
            height=4,
        ),
        Stat(
            id=13,
            title="Lowest write limit",
            shows="The write limit of the partition that is held back most, as a share of its configured one.",
            healthy="100 %.",
            otherwise="that partition writes at this share of its speed until its backlog is exported.",
            queries=(common.worst(_limit / _limit_max, is_smallest=True),),
            with_name=True,
            decimals=0,
            steps=(Step(None, Colour.BAD), Step(0.25, Colour.LOW), Step(1, Colour.GOOD)),
            no_value="no limit",
            width=4,
            height=4,
        ),
        Stat(
            id=14,
            title="Refused writes",
            shows="Share of the records that asked to be written and were refused, by either limit.",
            healthy="0 %.",
            otherwise="callers see 429. Refused writes by source and reason below says which limit it is.",
            queries=(Query(expression=common.refused_share(), legend="refused", instant=True),),
            decimals=1,
            steps=common.SHARE_REFUSED_STEPS,
            width=4,
            height=4,
        ),
        Gauge(
            id=15,
            title="Partition load",
            shows="Accepted records as a share of the configured write limit, on the partition with the most.",
            healthy="below 70 %.",
            otherwise="above 90 % the next burst meets the limit: raise it, or add partitions.",
            queries=(
                common.worst(call("clamp_max", largest(select("penstock_partition_load_ratio"), *PARTITION), "1")),
            ),
            decimals=0,
            min=0,
            max=1,
            steps=_LOAD_STEPS,
            no_value="no limit",
            width=4,
            height=4,
        ),
        Stat(
            id=16,
            title="Limits",
            shows="Whether limits set by hand stand in place of the configured ones.",
            healthy="as configured.",
            otherwise="somebody changed them at run time: Limits set by hand below says who, and until when; `penstock "
            "flow-control get` which.",
            queries=(Query(expression=largest(select("penstock_config_overridden")), legend="limits", instant=True),),
            words=_OVERRIDDEN,
            steps=(Step(None, Colour.GOOD), Step(1, Colour.LOW)),
            width=4,
            height=4,
        ),
    ),
)

_by_hand = largest(select("penstock_limits_set_by_hand_info"), *PARTITION, "by")
_until = largest(select("penstock_limits_set_by_hand_until_timestamp_seconds"), *PARTITION)

_THROTTLING = Row(
    id=20,
    title="Throttling",
    panels=(
        throttling.timeline(21, width=24, height=5),
        Table(
            id=22,
            title="Partitions",
            shows="Each partition now, and its throttles in the chosen range.",
            healthy="limit = maximum, factor 2 or more (100 stands for all above), no throttles.",
            otherwise="the partition with the smallest factor is furthest behind.",
            queries=(
                Query(expression=throttling.throttled_now(), legend="", instant=True),
                Query(expression=throttling.share_of_range(*PARTITION), legend="", instant=True),
                Query(expression=throttling.throttles(*PARTITION), legend="", instant=True),
                Query(
                    expression=largest(select("penstock_exporting_backlog_records"), *PARTITION),
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=largest(select("penstock_acceptable_backlog_records"), *PARTITION),
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=call("clamp_max", smallest(select("penstock_throttle_factor"), *PARTITION), "100"),
                    legend="",
                    instant=True,
                ),
                Query(expression=_limit, legend="", instant=True),
                Query(expression=_limit_max, legend="", instant=True),
                Query(expression=_exporting_rate, legend="", instant=True),
            ),
            rows={"pipeline": Column(title="Pipeline", width=120), "partition": Column(title="Partition", width=90)},
            columns=(
                Column(title="State", width=100, words=throttling.STATE_WORDS),
                Column(title="Range throttled", width=125, unit=Display.SHARE, decimals=1),
                Column(title="Throttles", width=90, unit=Display.COUNT, decimals=0),
                Column(title="Backlog", width=90, unit=Display.NUMBER),
                Column(title="Acceptable", width=100, unit=Display.NUMBER),
                Column(title="Factor", width=80, unit=Display.NUMBER),
                Column(title="Limit", width=120, unit=Display.RECORDS_PER_SECOND),
                Column(title="Maximum", width=120, unit=Display.RECORDS_PER_SECOND),
                Column(title="Exporting rate", unit=Display.RECORDS_PER_SECOND),
            ),
            width=24,
            height=5,
        ),
        Table(
            id=23,
            title="Limits set by hand",
            shows="Who has put other limits in place of the configured ones of a partition, and when these come back "
            "by themselves.",
            healthy="empty: the configured limits hold everywhere.",
            otherwise="without an end somebody has to bring the others back: `penstock flow-control revert`, or the "
            "page.",
            queries=(
                Query(expression=_by_hand, legend="", instant=True),
                Query(
                    expression=_by_hand.with_value_of(_until, *PARTITION) * "1000",
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=_by_hand.with_value_of(_until, *PARTITION) - NOW,
                    legend="",
                    instant=True,
                ),
            ),
            rows={
                "pipeline": Column(title="Pipeline"),
                "partition": Column(title="Partition"),
                "by": Column(title="Set by"),
            },
            columns=(
                Column(title="By hand", hidden=True),
                Column(title="Until", unit=Display.MOMENT, no_value="somebody brings the others back"),
                Column(title="Time left", unit=Display.SECONDS, decimals=0, no_value="no end"),
            ),
            no_value="The configured limits hold.",
            width=24,
            height=4,
        ),
    ),
)

_PROCESSING = Row(
    id=30,
    title="Processing",
    panels=(
        TimeSeries(
            id=31,
            title="Exporting backlog",
            shows="Records not yet acknowledged by every exporter, and the backlog at which the throttle aims "
            "(dashed). From half of that on, writes slow down. Yellow: throttled.",
            healthy="far below the dashed line.",
            otherwise="an exporter is slower than the writers: see the board Exporting.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_exporting_backlog_records", parity), *PARTITION)
                ),
                Query(
                    expression=largest(select("penstock_acceptable_backlog_records"), "pipeline"),
                    legend="{{pipeline}} acceptable",
                    look=common.MAXIMUM_LOOK,
                ),
            ),
            width=12,
            height=9,
        ),
        TimeSeries(
            id=32,
            title="Age of the oldest unexported record",
            shows="How far behind the outside world is, in time: the age of the oldest record that an exporter has "
            "not acknowledged.",
            healthy="seconds.",
            otherwise="while it grows as fast as the clock, an exporter stands still.",
            queries=common.by_partition(
                lambda parity: largest(
                    age(select("penstock_oldest_unexported_record_timestamp_seconds", parity)), *PARTITION
                )
            ),
            width=12,
            height=9,
        ),
    ),
)

_LOGSTREAM = Row(
    id=40,
    title="Logstream",
    panels=(
        TimeSeries(
            id=41,
            title="Accepted writes by source",
            shows="Records written per second, by who wrote them, over the chosen partitions.",
            healthy="follows what comes in.",
            otherwise="flat at the write limit while yellow: the throttle holds it there.",
            queries=tuple(
                Query(
                    expression=total(
                        rate(select("penstock_writes_total", is_("source", source), is_("outcome", "accepted"))),
                        "pipeline",
                    ),
                    legend=f"{{{{pipeline}}}} {source.replace('_', ' ')}",
                    look=Look(colour=colour, shades=True),
                )
                for source, colour in _SOURCES.items()
            ),
            legend_at_right=True,
            legend_values=("max",),
            width=12,
            height=10,
        ),
        TimeSeries(
            id=42,
            title="Measured exporting rate",
            shows="Records acknowledged per second as the throttle sees them, a mean over minutes, and by the "
            "slowest exporter just now (dashed).",
            healthy="as high as what is written.",
            otherwise="this is the speed to which the throttle brings the writers down.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_exporting_rate_records_per_second", parity), *PARTITION)
                ),
                *common.by_partition(
                    lambda parity: smallest(
                        total(rate(select("penstock_exported_records_total", parity)), *PARTITION, "exporter"),
                        *PARTITION,
                    ),
                    "just now",
                    Look(width=1, dashed=True),
                ),
            ),
            width=12,
            height=10,
        ),
        TimeSeries(
            id=43,
            title="Write rate limits",
            shows="The write limit now, the configured one above it (dashed), and what was accepted (filled).",
            healthy="both are the same.",
            otherwise="the difference is what the throttle takes.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_write_rate_limit_records_per_second", parity), *PARTITION),
                    "limit",
                ),
                *common.by_partition(
                    lambda parity: total(
                        rate(select("penstock_writes_total", is_("outcome", "accepted"), parity)), *PARTITION
                    ),
                    "accepted",
                    Look(width=1, fill=8),
                ),
                Query(
                    expression=largest(_limit_max, "pipeline"), legend="{{pipeline}} maximum", look=common.MAXIMUM_LOOK
                ),
            ),
            legend_at_right=True,
            width=12,
            height=10,
        ),
        TimeSeries(
            id=44,
            title="Refused writes by source and reason",
            shows="Records refused per second, by who wrote them and by which limit. Sources of the pipeline wait "
            "instead and do not count here.",
            healthy="0.",
            otherwise="write limit: the exporters are behind, or the limit is too low. Request limit: the processor "
            "is slow.",
            queries=(
                Query(
                    expression=_refused("write_rate_limit_exhausted", is_("source", "user_command")),
                    legend="{{pipeline}}/{{partition}} user command: write limit",
                    look=Look(colour=Colour.LIMIT, shades=True),
                ),
                Query(
                    expression=_refused("request_limit_exhausted", is_("source", "user_command")),
                    legend="{{pipeline}}/{{partition}} user command: request limit",
                    look=Look(colour=Colour.SECOND, shades=True),
                ),
                Query(
                    expression=_refused("write_rate_limit_exhausted", is_not("source", "user_command")),
                    legend="{{pipeline}}/{{partition}} the others: write limit",
                    look=Look(colour=Colour.THIRD, shades=True),
                ),
            ),
            legend_at_right=True,
            legend_values=("max",),
            soft_max=1,
            width=12,
            height=10,
        ),
        TimeSeries(
            id=45,
            title="Throttle factor",
            shows="Acceptable backlog divided by the backlog; above 4 it is drawn as 4. Below 2 (line) the limit is "
            "this factor times the exporting rate; at 1 the backlog stands still, below 1 it shrinks.",
            healthy="4.",
            otherwise="below 1 for long: the minimum limit is higher than what the exporters can take.",
            queries=(
                *common.by_partition(
                    lambda parity: call(
                        "clamp_max", smallest(select("penstock_throttle_factor", parity), *PARTITION), "4"
                    )
                ),
            ),
            steps=(Step(None, Colour.NOTHING), Step(2, Colour.LIMIT)),
            steps_drawn="dashed",
            soft_max=4,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=46,
            title="Load by partition",
            shows="Accepted records as a share of the configured write limit.",
            healthy="below 70 %, and much the same on all partitions.",
            otherwise="one partition far above the rest: the keys are unevenly spread.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_partition_load_ratio", parity), *PARTITION)
                ),
            ),
            soft_max=1,
            width=12,
            height=9,
        ),
    ),
)

_REQUESTS = Row(
    id=50,
    title="Requests",
    panels=(
        TimeSeries(
            id=51,
            title="Requests in flight against the limit",
            shows="User commands accepted and not yet processed, and how many may be (dashed).",
            healthy="below the dashed line.",
            otherwise="at the line, further commands are refused or wait: the processor is slow, see the board Back "
            "pressure.",
            queries=(
                *common.by_partition(
                    lambda parity: largest(select("penstock_requests_in_flight", parity), *PARTITION).with_unit(
                        Display.COUNT
                    ),
                    "in flight",
                ),
                *common.by_partition(
                    lambda parity: largest(select("penstock_request_limit", parity), *PARTITION),
                    "limit",
                    Look(width=1, dashed=True),
                ),
            ),
            width=8,
            height=10,
        ),
        TimeSeries(
            id=52,
            title="Time from accepted to processed",
            shows="How long user commands take until they are processed: half of them, and all but one in a hundred.",
            healthy="steady.",
            otherwise="it rises with the number in flight: the processor is the bottleneck.",
            queries=common.quantiles("penstock_command_duration_seconds", "pipeline"),
            width=8,
            height=10,
        ),
        TimeSeries(
            id=53,
            title="Writers waiting for a limit",
            shows="Sources, processors and timers that hold a batch and wait for a permit at this moment.",
            healthy="0, or 1 for moments.",
            otherwise="while it is not 0, a gateway command is refused at once; what waits is back pressure upstream.",
            queries=(
                *common.by_partition(lambda parity: largest(select("penstock_waiting_writers", parity), *PARTITION)),
            ),
            decimals=0,
            width=8,
            height=10,
        ),
    ),
)

_GATEWAY = Row(
    id=60,
    title="Gateway",
    panels=(
        TimeSeries(
            id=61,
            title="Answers of the gateway",
            shows="Requests per second that the gateway answered, by status. Empty where no gateway is open.",
            healthy="200 (green), and now and then a 429 (orange).",
            otherwise="429: a limit is used up. Other 4xx (purple): what the callers send is wrong. 5xx (red): 503 is "
            "more connections or bodies at once than it takes, 507 the disk.",
            # A status has a line only while it is given: most never are.
            queries=(
                Query(expression=_answered(200), legend="{{code}}", look=Look(colour=Colour.GOOD)),
                Query(expression=_answered(429).above("0"), legend="{{code}}", look=Look(colour=Colour.LIMIT)),
                Query(
                    expression=_answered(*_CALLERS_FAULTS).above("0"),
                    legend="{{code}}",
                    look=Look(colour=Colour.SECOND, shades=True),
                ),
                Query(
                    expression=_answered(*_OWN_FAULTS).above("0"),
                    legend="{{code}}",
                    look=Look(colour=Colour.BAD, shades=True),
                ),
            ),
            legend_at_right=True,
            legend_values=("max",),
            width=10,
            height=9,
        ),
        TimeSeries(
            id=62,
            title="Through the gateway",
            shows="Records per second that the gateway brought into the log, and the connections to it (right axis).",
            healthy="both follow the callers.",
            otherwise="many connections and few records: callers are refused, or send one record at a time.",
            queries=(
                Query(
                    expression=total(rate(select("penstock_gateway_records_total"))),
                    legend="records",
                    look=Look(colour=Colour.FIRST),
                ),
                Query(
                    expression=total(select("penstock_gateway_connections")).with_unit(Display.COUNT),
                    legend="connections",
                    look=Look(colour=Colour.SECOND, unit=Display.COUNT, right_axis=True),
                ),
            ),
            width=7,
            height=9,
        ),
        TimeSeries(
            id=63,
            title="Time of a gateway request",
            shows="From the head of a request to its answer: half of them, and all but one in a hundred.",
            healthy="milliseconds.",
            otherwise="as long as a commit takes: many small requests. Longer: they wait for a thread, or drip in.",
            queries=common.quantiles("penstock_gateway_request_duration_seconds", "pipeline"),
            width=7,
            height=9,
        ),
    ),
)

_reached = smallest(select("penstock_kafka_up"), *PARTITION)
_open_for = largest(age(select("penstock_partition_opened_timestamp_seconds")), *PARTITION)

_KAFKA = Row(
    id=70,
    title="Kafka, where it keeps the log",
    folded=True,
    panels=(
        StateTimeline(
            id=71,
            title="Cluster reached, by partition",
            shows="Red while no broker answers the partition.",
            healthy="green.",
            otherwise="writes wait and are tried again; the gateway answers 503. The log of the engine says what the "
            "brokers do.",
            queries=(
                Query(
                    expression=smallest(select("penstock_kafka_up"), *PARTITION), legend="{{pipeline}}/{{partition}}"
                ),
            ),
            words={0: Word("no broker answers", Colour.BAD), 1: Word("reached", Colour.GOOD)},
            width=12,
            height=6,
        ),
        Table(
            id=72,
            title="Partitions in the cluster",
            shows="Since when each partition runs here, how long reading its state took and what of it is still to be "
            "read; how often it lost the right to write within the chosen range.",
            healthy="nothing left to read, never fenced.",
            otherwise="fenced by timeout: commits take longer than `transactionTimeout`. Taken over: another instance "
            "runs the same pipeline.",
            queries=(
                Query(
                    expression=largest(
                        age(select("penstock_partition_opened_timestamp_seconds")), *PARTITION
                    ).only_where(largest(select("penstock_kafka_up"), *PARTITION)),
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=largest(select("penstock_restore_duration_seconds"), *PARTITION), legend="", instant=True
                ),
                Query(
                    expression=largest(select("penstock_restore_remaining_rows"), *PARTITION), legend="", instant=True
                ),
                *(
                    Query(
                        expression=total(
                            increase(select("penstock_kafka_fenced_total", is_("reason", reason))), *PARTITION
                        ),
                        legend="",
                        instant=True,
                    )
                    for reason in ("timeout", "taken_over")
                ),
            ),
            rows={"pipeline": Column(title="Pipeline", width=90), "partition": Column(title="Partition", width=80)},
            columns=(
                Column(title="Runs for", width=90, unit=Display.SECONDS, decimals=1),
                Column(title="Restored in", width=95, unit=Display.SECONDS, decimals=1),
                Column(
                    title="Rows left",
                    width=85,
                    unit=Display.NUMBER,
                    steps=(Step(None, Colour.QUIET), Step(1, Colour.LOW)),
                ),
                Column(
                    title="Timeouts",
                    width=85,
                    unit=Display.COUNT,
                    decimals=0,
                    steps=(Step(None, Colour.QUIET), Step(0.5, Colour.BAD)),
                ),
                Column(
                    title="Taken over",
                    unit=Display.COUNT,
                    decimals=0,
                    steps=(Step(None, Colour.QUIET), Step(0.5, Colour.BAD)),
                ),
            ),
            width=12,
            height=6,
        ),
        TimeSeries(
            id=73,
            title="Time of a commit",
            shows="How long a transaction takes, from its first message to its end: half of them, and all but one in a "
            "hundred.",
            healthy="steady; about 5 ms on one node, tens of ms on three.",
            otherwise="it rises: the brokers are slow, or copies lag behind. Up to `transactionTimeout`, then it is "
            "begun anew.",
            queries=common.quantiles("penstock_kafka_commit_duration_seconds", "pipeline"),
            width=8,
            height=9,
        ),
        TimeSeries(
            id=74,
            title="Transactions by outcome",
            shows="Transactions per second: committed, aborted, and those of whose end nothing was heard.",
            healthy="committed alone.",
            otherwise="unknown: the partition asks the cluster what became of them and goes on; many mean that brokers "
            "come and go.",
            queries=tuple(
                Query(
                    expression=total(
                        rate(select("penstock_kafka_transactions_total", is_("outcome", outcome))), "pipeline"
                    ).with_unit(Display.EVENTS_PER_SECOND),
                    legend=f"{{{{pipeline}}}} {outcome}",
                    look=Look(colour=colour, shades=True),
                )
                for outcome, colour in (("committed", Colour.GOOD), ("aborted", Colour.LIMIT), ("unknown", Colour.BAD))
            ),
            width=8,
            height=9,
        ),
        TimeSeries(
            id=75,
            title="Messages before the Kafka sources",
            shows="How far each source that reads a topic is behind the end of its partition.",
            healthy="near 0, whatever keeps the log.",
            otherwise="it grows: less is taken in than is sent. Yellow: because the throttle holds the writers back.",
            queries=(
                Query(
                    expression=largest(select("penstock_source_lag_records"), "pipeline", "task"),
                    legend="{{pipeline}}/{{task}}",
                    look=Look(colour=Colour.SOURCE, shades=True),
                ),
            ),
            width=8,
            height=9,
        ),
        TimeSeries(
            id=76,
            title="Round trip to each broker",
            shows="Mean time from a request of a partition's writer to the answer; of several partitions the longest.",
            healthy="milliseconds.",
            otherwise="one broker far above the rest is slow or far away; all: the network is, or they wait for one "
            "another.",
            queries=(
                Query(
                    expression=largest(select("penstock_kafka_broker_rtt_seconds"), "pipeline", "broker"),
                    legend="{{pipeline}} broker {{broker}}",
                ),
            ),
            width=12,
            height=8,
        ),
        TimeSeries(
            id=77,
            title="Held back by a quota",
            shows="Mean time that each broker had a partition's writer wait because of a quota; the longest.",
            healthy="0.",
            otherwise="the cluster's administrator has given this user a quota that is too small for what is written.",
            queries=(
                Query(
                    expression=largest(select("penstock_kafka_broker_throttle_seconds"), "pipeline", "broker"),
                    legend="{{pipeline}} broker {{broker}}",
                ),
            ),
            soft_max=0.1,
            width=12,
            height=8,
        ),
    ),
)

BOARD = Board(
    uid=BoardUid.FLOW_CONTROL,
    title="Penstock: Flow control",
    answers="What is admitted, what is refused, which limit holds, and why. Yellow: throttled.",
    rows=(_NOW, _THROTTLING, _PROCESSING, _LOGSTREAM, _REQUESTS, _GATEWAY, sources.FILES, _KAFKA, instances.SHARED),
)
