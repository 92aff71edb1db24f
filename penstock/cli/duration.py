"""A duration on the command line, written as in configuration files."""

from __future__ import annotations

import click


class Duration(click.ParamType[float]):
    """`90`, `90s`, `5m`: in seconds, longer than 0."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> float:
        from engine.core.clock import NS_PER_SECOND
        from engine.core.durations import parse_duration_ns

        try:
            seconds = parse_duration_ns(str(value)) / NS_PER_SECOND
        except ValueError as error:
            self.fail(str(error), param, context)
        if seconds <= 0:
            self.fail("must be longer than 0", param, context)
        return seconds
