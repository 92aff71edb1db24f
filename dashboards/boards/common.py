"""What several boards show in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from dashboards.colours import Colour
from dashboards.panel import Look, Query, Step
from dashboards.promql import (
    Expression,
    Matcher,
    age,
    call,
    is_,
    is_not,
    largest,
    one_of,
    quantile,
    rate,
    select,
    total,
)
from dashboards.rules.recording import AGE_SECONDS_MAX

# The labels that name a partition, and how a series of one is called.
PARTITION = ("pipeline", "partition")
PARTITION_NAME = "{{pipeline}}/{{partition}}"

# In the order in which records flow through the job graph.
KINDS = {
    "source": Colour.SOURCE,
    "transform": Colour.TRANSFORM,
    "log_writer": Colour.LOG_WRITER,
    "processor": Colour.PROCESSOR,
    "exporter": Colour.EXPORTER,
}

# A configured bound beside what is measured against it.
MAXIMUM_LOOK = Look(colour=Colour.MAXIMUM, dashed=True, width=1)

SHARE_REFUSED_STEPS = (Step(None, Colour.GOOD), Step(0.0001, Colour.LOW), Step(0.01, Colour.BAD))
# Seconds within which records are expected outside. Red is late, as the alerts mean it.
AGE_STEPS = (Step(None, Colour.GOOD), Step(60, Colour.LOW), Step(AGE_SECONDS_MAX, Colour.BAD))


def refused_share(*by: str) -> Expression:
    """Refused records as a share of those that asked; 0 while nothing asks."""
    refused = total(rate(select("penstock_writes_total", is_not("outcome", "accepted"))), *by)
    asked = total(rate(select("penstock_writes_total")), *by)
    # Divided by at least a little, so that an idle engine refuses 0 %, not "no data".
    return refused / call("clamp_min", asked, "0.001")


def oldest_age(*by: str) -> Expression:
    """Age of the oldest record that some exporter has not acknowledged."""
    return largest(age(select("penstock_oldest_unexported_record_timestamp_seconds")), *by)


def by_partition(
    expression: Callable[[Matcher], Expression], what: str = "", look: Look | None = None
) -> tuple[Query, ...]:
    """A series for each partition, whose hue says which: neighbours differ. How it is drawn says what it is.

    Grafana has no palette without yellow, which is the colour of the band; so odd and even partitions are asked
    for apart, and further ones are shades of the two.
    """
    name = f"{PARTITION_NAME} {what}".rstrip()
    drawn = look or Look()
    return tuple(
        Query(
            expression=expression(one_of("partition", f".*[{digits}]")),
            legend=name,
            look=replace(drawn, colour=hue, shades=True),
        )
        for digits, hue in (("13579", Colour.FIRST), ("02468", Colour.SECOND))
    )


def by_task(
    expression: Expression, name: str = "{{task}}", *, kinds: Iterable[str] = tuple(KINDS)
) -> tuple[Query, ...]:
    """A series for each task, in the order of the job graph; the hue says which kind of task it is."""
    return tuple(
        Query(expression=_of_kind(expression, kind), legend=name, look=Look(colour=KINDS[kind], shades=True))
        for kind in kinds
    )


def by_kind(expression: Expression, what: str, *, dashed: bool = False) -> tuple[Query, ...]:
    """The highest of each kind of task."""
    return tuple(
        Query(
            expression=largest(_of_kind(expression, kind)),
            legend=f"{kind.replace('_', ' ')} {what}",
            look=Look(colour=hue, dashed=dashed),
        )
        for kind, hue in KINDS.items()
    )


def _of_kind(expression: Expression, kind: str) -> Expression:
    return expression.only_where(select("penstock_task_info", is_("kind", kind)), "pipeline", "task")


def culprit() -> Query:
    """The task to blame now, as the name of a series of the value 1; nobody, of the value 0."""
    blame = select("penstock_bottleneck")
    return Query(
        expression=largest(blame.equals("1"), "task").otherwise(largest(blame).equals("0").marked("task", "nobody")),
        legend="{{task}}",
        instant=True,
    )


def quantiles(histogram: str, *by: str) -> tuple[Query, ...]:
    """Half of the observations, and all but one in a hundred."""
    name = " ".join((*(f"{{{{{label}}}}}" for label in by), ""))
    return (
        Query(
            expression=quantile(0.5, histogram, *by),
            legend=f"{name}median",
            look=Look(colour=Colour.FIRST, shades=True),
        ),
        Query(
            expression=quantile(0.99, histogram, *by),
            legend=f"{name}99 %",
            look=Look(colour=Colour.SECOND, shades=True),
        ),
    )
