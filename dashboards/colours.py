"""Colours by meaning. The same thing bears the same colour on every board."""

from __future__ import annotations

from enum import StrEnum


class Colour(StrEnum):
    """Names of Grafana's palette, which has a shade of each for the dark and for the light theme."""

    # The band and nothing else on a time panel: no line may be taken for it.
    THROTTLED = "yellow"

    GOOD = "green"
    LOW = "orange"
    BAD = "red"
    QUIET = "text"
    NOTHING = "transparent"
    # A mark that is neither good nor bad.
    QUIET_MARK = "#8e8e8f"

    BUSY = "blue"
    BUSY_LITTLE = "super-light-blue"
    IDLE = "#8e8e8e"
    BACK_PRESSURED = "semi-dark-red"

    # What bounds what is measured.
    LIMIT = "dark-orange"
    MAXIMUM = "dark-red"

    # Who writes.
    USER_COMMAND = "super-light-blue"
    PROCESSING_RESULT = "semi-dark-purple"
    INTER_PARTITION = "semi-dark-green"
    SCHEDULED = "#d683ce"
    INTERNAL = "#9aa0a6"

    # Which kind of task.
    SOURCE = "light-green"
    TRANSFORM = "dark-green"
    LOG_WRITER = "#8f9aa6"
    PROCESSOR = "purple"
    # Less bright than the palette's orange, whose lighter shades are yellow.
    EXPORTER = "#d9633c"

    # Things of one kind with nothing but their names to tell them apart.
    FIRST = "blue"
    SECOND = "purple"
    THIRD = "dark-green"
