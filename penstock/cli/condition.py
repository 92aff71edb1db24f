"""How a pipeline is, in a terminal: the word that everybody uses, on the colour that it has on the boards."""

from __future__ import annotations

from rich.text import Text

from engine.core.condition import Condition

_BAD = "bold white on red3"
_STYLES = {
    Condition.DOWN: _BAD,
    Condition.FAILED: _BAD,
    Condition.STOPPING: "white on grey30",
    Condition.DISK_FULL: _BAD,
    Condition.REFUSING: _BAD,
    Condition.THROTTLED: "bold grey0 on yellow",
    Condition.EXPORTER_RETRYING: "grey0 on dark_orange",
    Condition.EXPORTER_PAUSED: "white on blue",
    Condition.BACK_PRESSURED: "grey0 on dark_orange",
    Condition.STARTING: "grey0 on light_sky_blue1",
    Condition.FINE: "grey0 on green3",
}


def word(condition: Condition) -> Text:
    return Text(f" {condition.words} ", style=_STYLES[condition])
