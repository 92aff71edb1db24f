"""The row of a pipeline that several instances share: who has what, what is on its way, and how often it goes."""

from __future__ import annotations

from dashboards.board import Row
from dashboards.boards.common import PARTITION, by_partition
from dashboards.colours import Colour
from dashboards.panel import Column, Look, Query, StateTimeline, Step, Table, TimeSeries, Word
from dashboards.promql import age, is_, largest, rate, select, total
from dashboards.units import Display

# The one place where an instance is named beside a partition: who has it is what is asked.
_HELD = (*PARTITION, "instance")
# Up to so many are written as numbers; who has more of them is drawn without.
_COUNTED_MAX = 32
_MOVES = {"joined": Colour.GOOD, "left": Colour.FIRST, "lost": Colour.BAD}
_FENCED = {"taken_over": Colour.FIRST, "timeout": Colour.BAD}
_HANDED_ON = {"accepted": Colour.GOOD, "refused": Colour.LIMIT, "failed": Colour.BAD}

SHARED = Row(
    id=90,
    title="Instances, where several share the pipeline",
    folded=True,
    panels=(
        StateTimeline(
            id=91,
            title="Partitions of each instance",
            shows="How many partitions belong to each instance, open yet or not.",
            healthy="as many for each, but for one.",
            otherwise="none: a spare, or it has not joined. A gap: it was not there, and the others have more.",
            queries=(
                Query(
                    expression=largest(select("penstock_partitions_owned"), "pipeline", "instance").with_unit(
                        Display.COUNT
                    ),
                    legend="{{pipeline}} {{instance}}",
                ),
            ),
            words={
                0: Word("none", Colour.IDLE),
                **{count: Word(str(count), Colour.GOOD) for count in range(1, _COUNTED_MAX + 1)},
            },
            width=12,
            height=8,
        ),
        TimeSeries(
            id=92,
            title="Instances, and partitions nobody has open",
            shows="How many instances are there by their own word, and how many partitions none of them has open or is "
            "reading the state of.",
            healthy="as many instances as were started, 0 partitions.",
            otherwise="a second or two while partitions move, up to `sessionTimeout` and the restore after a death. "
            "For longer: `penstock instances ls` says which, and why.",
            queries=(
                Query(
                    expression=largest(select("penstock_instances"), "pipeline").with_unit(Display.COUNT),
                    legend="{{pipeline}} instances",
                    look=Look(colour=Colour.GOOD, shades=True),
                ),
                Query(
                    expression=largest(select("penstock_partitions_without_owner"), "pipeline").with_unit(
                        Display.COUNT
                    ),
                    legend="{{pipeline}} without owner",
                    look=Look(colour=Colour.BAD, shades=True, fill=30),
                ),
            ),
            band=False,
            legend_values=("lastNotNull", "max"),
            decimals=0,
            width=12,
            height=8,
        ),
        Table(
            id=93,
            title="Who has which partition",
            shows="Where each partition is, since when it is open there, and what of its state is still to be read. "
            "Right after a move it stands here twice, until who had it is scraped again.",
            healthy="each is there, with nothing left to read.",
            otherwise="a partition is missing: nobody has it. Rows left: it is being opened.",
            queries=(
                Query(
                    expression=largest(age(select("penstock_partition_opened_timestamp_seconds")), *_HELD).only_where(
                        largest(select("penstock_partitions_owned"), "pipeline"), "pipeline"
                    ),
                    legend="",
                    instant=True,
                ),
                Query(
                    expression=largest(select("penstock_restore_remaining_rows"), *_HELD).only_where(
                        largest(select("penstock_partitions_owned"), "pipeline"), "pipeline"
                    ),
                    legend="",
                    instant=True,
                ),
            ),
            rows={
                "pipeline": Column(title="Pipeline", width=110),
                "partition": Column(title="Partition", width=90),
                "instance": Column(title="Instance"),
            },
            columns=(
                Column(title="Runs for", width=110, unit=Display.SECONDS, decimals=1, no_value="not yet"),
                Column(
                    title="Rows left",
                    width=110,
                    unit=Display.NUMBER,
                    steps=(Step(None, Colour.QUIET), Step(1, Colour.LOW)),
                ),
            ),
            width=12,
            height=9,
        ),
        TimeSeries(
            id=94,
            title="Rows that restores have left",
            shows="Rows of state that are still to be read of partitions that are being opened.",
            healthy="0, and a slope down to it after each move.",
            otherwise="level above 0: the cluster does not answer, or the disk of the cache is slow. The slope is how "
            "fast it goes.",
            queries=by_partition(lambda parity: largest(select("penstock_restore_remaining_rows", parity), *PARTITION)),
            band=False,
            width=12,
            height=9,
        ),
        TimeSeries(
            id=95,
            title="Moves of partitions",
            shows="Partitions per minute that came to an instance, were given back, and were lost because it was not "
            "heard.",
            healthy="0, but for starts, stops and upgrades: as many leave as come.",
            otherwise="they go to and fro: an instance dies and comes back, or is paused for longer than "
            "`sessionTimeout` (red).",
            queries=tuple(
                Query(
                    expression=total(
                        rate(select("penstock_rebalances_total", is_("reason", reason))) * "60", "pipeline"
                    ).with_unit(Display.NUMBER),
                    legend=f"{{{{pipeline}}}} {reason}",
                    look=Look(colour=colour, shades=True),
                )
                for reason, colour in _MOVES.items()
            ),
            band=False,
            width=8,
            height=9,
        ),
        TimeSeries(
            id=96,
            title="Rights to write that were taken",
            shows="How often a minute Kafka took a partition's right to write: another instance opened it, or a "
            "transaction took too long.",
            healthy="0. Taken over: once for each partition of an instance that was paused or cut off.",
            otherwise="timeout: pauses longer than `transactionTimeout`, such as a machine without CPU.",
            queries=tuple(
                Query(
                    expression=total(
                        rate(select("penstock_kafka_fenced_total", is_("reason", reason))) * "60", "pipeline"
                    ).with_unit(Display.NUMBER),
                    legend=f"{{{{pipeline}}}} {reason.replace('_', ' ')}",
                    look=Look(colour=colour, shades=True),
                )
                for reason, colour in _FENCED.items()
            ),
            band=False,
            width=8,
            height=9,
        ),
        TimeSeries(
            id=97,
            title="Handed on between gateways",
            shows="Records per second that came to the gateway of one instance and belong to another, by what that one "
            "said.",
            healthy="green alone: with n instances behind one address, all but an n-th of what comes in.",
            otherwise="refused: the owner's limit holds. Failed: owners go, or do not reach one another "
            "(`advertisedUrl`).",
            queries=tuple(
                Query(
                    expression=total(
                        rate(select("penstock_gateway_forwarded_records_total", is_("outcome", outcome))), "pipeline"
                    ),
                    legend=f"{{{{pipeline}}}} {outcome}",
                    look=Look(colour=colour, shades=True),
                )
                for outcome, colour in _HANDED_ON.items()
            ),
            band=False,
            width=8,
            height=9,
        ),
    ),
)
