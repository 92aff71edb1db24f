"""What happened, as marks on all time panels: restarts, limits set by hand, pauses, failovers, alerts.

An event is a point of time: where something begins to be, or is gone, since the point before. Yellow is none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.colours import Colour
from dashboards.promql import (
    Expression,
    Scope,
    Selector,
    a_step_before,
    earlier,
    firing,
    largest,
    select,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A kind of mark. `title` and `text` may name labels of the expression, `{{label}}`."""

    name: str
    title: str
    text: str
    colour: Colour
    expression: Expression


def _select(name: str) -> Selector:
    return select(name, scope=Scope.EVENT)


def _began(found: Expression, *by: str) -> Expression:
    return largest(found, *by).unless(largest(earlier(found), *by), *by)


def _ended(found: Expression, *by: str) -> Expression:
    # What an engine that is away no longer says, is not over.
    alive = largest(_select("penstock_build_info"), "pipeline")
    return largest(earlier(found), *by).unless(largest(found, *by), *by).only_where(alive, "pipeline")


_start = _select("penstock_start_time_seconds")
_restarts = _select("penstock_worker_restarts_total")
_limits, _pauses = _select("penstock_limits_set_by_hand_info"), _select("penstock_exporter_pause_info")

EVENTS = (
    Event(
        name="Restarts",
        title="{{pipeline}} started",
        text="The engine was started anew.",
        colour=Colour.QUIET_MARK,
        expression=largest(_start.differs(a_step_before(_start)), "pipeline", "instance"),
    ),
    Event(
        name="Failovers",
        title="Worker {{worker}} of {{pipeline}} was started again",
        text="It had died; its partitions are open again.",
        colour=Colour.LOW,
        expression=largest(_restarts.differs(a_step_before(_restarts)), "pipeline", "worker"),
    ),
    Event(
        name="Limits set by hand",
        title="{{pipeline}}: limits set by {{by}}",
        text="They stand in place of the configured ones; the board Flow control says until when.",
        colour=Colour.SECOND,
        expression=_began(_limits, "pipeline", "by"),
    ),
    Event(
        name="Limits as configured",
        title="{{pipeline}}: the configured limits hold again",
        text="What {{by}} had set is over.",
        colour=Colour.SECOND,
        expression=_ended(_limits, "pipeline", "by"),
    ),
    Event(
        name="Pauses",
        title="{{exporter}} paused by {{by}}",
        text="{{pipeline}}: its backlog counts until it is resumed.",
        colour=Colour.BUSY,
        expression=_began(_pauses, "pipeline", "exporter", "by"),
    ),
    Event(
        name="Resumptions",
        title="{{exporter}} resumed",
        text="{{pipeline}}: {{by}} had paused it.",
        colour=Colour.BUSY,
        expression=_ended(_pauses, "pipeline", "exporter", "by"),
    ),
    Event(
        name="Alerts",
        title="{{alertname}}",
        text="It fires for {{pipeline}} from here on.",
        colour=Colour.BAD,
        expression=_began(firing("Penstock.*"), "alertname", "pipeline"),
    ),
)
