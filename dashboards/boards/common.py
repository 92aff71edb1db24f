"""What several boards show in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from dashboards.colours import Colour
from dashboards.panel import Look, Query, Step, Word
from dashboards.promql import (
    Expression,
    Matcher,
    Scope,
    age,
    call,
    down,
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
from dashboards.units import Display
from exporter.catalogue import Condition

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


# As numbers, so that the worst is the largest: 0 is fine.
_SEVERITY = {condition: number for number, condition in enumerate(reversed(Condition))}
_GRAVITY = {
    Condition.DOWN: Colour.BAD,
    Condition.FAILED: Colour.BAD,
    Condition.STOPPING: Colour.IDLE,
    Condition.DISK_FULL: Colour.BAD,
    Condition.REFUSING: Colour.BAD,
    Condition.THROTTLED: Colour.THROTTLED,
    Condition.EXPORTER_RETRYING: Colour.LOW,
    Condition.EXPORTER_PAUSED: Colour.BUSY,
    Condition.BACK_PRESSURED: Colour.LOW,
    Condition.STARTING: Colour.BUSY_LITTLE,
    Condition.FINE: Colour.GOOD,
}
CONDITION_WORDS = {
    number: Word(condition.words.capitalize(), _GRAVITY[condition]) for condition, number in _SEVERITY.items()
}


def worst_condition() -> Expression:
    """Of each pipeline the worst that is the case, as a key of `CONDITION_WORDS`; of one that is away that it is."""
    # The label keeps them apart, or one would stand for all.
    every = select("penstock_condition", is_("condition", Condition.FINE)) * "0"
    for condition, number in _SEVERITY.items():
        if condition not in (Condition.FINE, Condition.DOWN):
            every = every.otherwise(select("penstock_condition", is_("condition", condition)) * str(number))
    return largest(every.otherwise(down() * str(_SEVERITY[Condition.DOWN])), "pipeline").with_unit(Display.COUNT)


def alive(expression: Expression) -> Expression:
    """What is true now: without the series of pipelines that are away, whose rates go on for a while.

    Of one that instances share, who is gone is not asked: what was counted there and what is counted where its
    partitions are now is one rate.
    """
    return expression.only_where(select("penstock_build_info"), "job", "pipeline")


def share_of_time(counter: str, *matchers: Matcher, now: bool = False) -> Expression:
    """Of each subtask the share of its time, 0 to 1; `now` without pipelines that are away.

    Rates are extrapolated and can pass one second a second by a little. A subtask that has moved to another instance
    has been some of the time here and some there: that is added up first.
    """
    grown = rate(select(counter, *matchers))
    return call("clamp_max", total(alive(grown) if now else grown, "pipeline", "task", "subtask"), "1")


def refused_share(*by: str) -> Expression:
    """Refused records as a share of those that asked; 0 while nothing asks."""
    refused = total(alive(rate(select("penstock_writes_total", is_not("outcome", "accepted")))), *by)
    asked = total(alive(rate(select("penstock_writes_total"))), *by)
    # Divided by at least a little, so that an idle engine refuses 0 %, not "no data".
    return call("clamp_max", refused / call("clamp_min", asked, "0.001"), "1").with_unit(Display.SHARE)


def oldest_age(*by: str) -> Expression:
    """Age of the oldest record that some exporter has not acknowledged."""
    return largest(age(select("penstock_oldest_unexported_record_timestamp_seconds")), *by)


def worst(expression: Expression, *, is_smallest: bool = False) -> Query:
    """The one partition that is in most trouble, and which that is: beside it a sum would look harmless."""
    one = call("bottomk" if is_smallest else "topk", "1", expression)
    return Query(expression=one, legend=PARTITION_NAME, instant=True)


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
    expression: Expression, name: str = "{{pipeline}}/{{task}}", *, kinds: Iterable[str] = tuple(KINDS)
) -> tuple[Query, ...]:
    """A series for each task, in the order of the job graph; the hue says which kind of task it is."""
    return tuple(
        Query(expression=_of_kind(expression, kind), legend=name, look=Look(colour=KINDS[kind], shades=True))
        for kind in kinds
    )


# Who may be held back, by where it stands: few enough that two lines of each can be told apart.
_HELD_BACK = {
    "source": ("source",),
    "transform": ("transform",),
    "writer, processor": ("log_writer", "processor"),
}


def by_kind(expression: Expression, what: str, *, dashed: bool = False) -> tuple[Query, ...]:
    """The highest of each kind of task that may be held back."""
    return tuple(
        Query(
            expression=largest(_of_kind(expression, *kinds)),
            legend=f"{name}: {what}",
            look=Look(colour=KINDS[kinds[-1]], dashed=dashed),
        )
        for name, kinds in _HELD_BACK.items()
    )


def _of_kind(expression: Expression, *kinds: str) -> Expression:
    matcher = is_("kind", kinds[0]) if len(kinds) == 1 else one_of("kind", *kinds)
    return expression.only_where(select("penstock_task_info", matcher), "pipeline", "task")


CULPRIT_STEPS = (Step(None, Colour.GOOD), Step(0.5, Colour.BUSY), Step(1, Colour.BAD))


def culprit() -> Query:
    """The task to blame now, as the name of a series; nobody, of the value 0. What stands still because somebody wants
    it so, or because its target takes nothing, is named as that and not as slow."""
    blame = select("penstock_bottleneck")
    blamed = largest(blame.equals("1"), "pipeline", "task")

    def in_state(state: str) -> Expression:
        exporter = select("penstock_exporter_state", is_("state", state), scope=Scope.EVENT).equals("1")
        return largest(exporter.joined("task", "", "exporter"), "pipeline", "task")

    def told(expression: Expression, how: str) -> Expression:
        return expression.marked("how", how).joined("who", " ", "pipeline", "task", "how")

    on = ("pipeline", "task")
    paused, retrying = in_state("paused"), in_state("retrying")
    # Paused is half as bad as slow: the colours tell them apart.
    held = told(blamed.only_where(paused, *on) * "0.5", "is paused")
    failing = told(blamed.only_where(retrying, *on), "is retrying")
    slow = told(blamed.unless(paused, *on).unless(retrying, *on), "")
    nobody = largest(blame).equals("0").marked("who", "nobody")
    return Query(expression=held.otherwise(failing).otherwise(slow).otherwise(nobody), legend="{{who}}", instant=True)


def quantiles(histogram: str, *by: str) -> tuple[Query, ...]:
    """Half of the observations, and all but one in a hundred."""
    name = " ".join((*(f"{{{{{label}}}}}" for label in by), ""))
    return (
        Query(
            expression=quantile(0.5, histogram, *by),
            legend=f"{name}median",
            exemplars=True,
            look=Look(colour=Colour.FIRST, shades=True),
        ),
        Query(
            expression=quantile(0.99, histogram, *by),
            legend=f"{name}99 %",
            exemplars=True,
            look=Look(colour=Colour.SECOND, shades=True),
        ),
    )
