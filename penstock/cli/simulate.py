"""`penstock simulate`: what would these limits do?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.json_output import echo_json

if TYPE_CHECKING:
    from engine.flow.plant import Scenario, SimulationResult
    from engine.flow.settings import WriteLimitSettings

_UNTHROTTLED = "no throttling"
_SECONDS_DEFAULT = 3600
# A week of seconds takes a few minutes.
_SECONDS_MAX = 7 * 86400


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--offered", metavar="LOAD", help="Records per second that want in; the write limit if not given.")
@click.option("--capacity", metavar="LOAD", required=True, help="Records per second that the exporter could take.")
@click.option("--for", "how_long", metavar="DURATION", help="How long; an hour, or as long as a recorded load.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Another value than the file's.")
@click.option("--plot", "plot_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the plot, an SVG.")
@click.option("--json", "as_json", is_flag=True, help="Figures and course as JSON.")
def simulate(
    file: Path,
    offered: str | None,
    capacity: str,
    how_long: str | None,
    changes: tuple[str, ...],
    plot_file: Path | None,
    as_json: bool,
) -> None:
    """Say what the limits of FILE would do to one partition, on simulated time.

    The real gate runs in front of a log that counts and an exporter of given capacity; hours take a second. What is
    refused does not come again. Both algorithms of the throttle are compared; the plot is of the one that is set.

    \b
    LOAD is a rate      4000
    or steps            3500,10m:800,40m:3500
    or a file           history.csv      seconds,rate
                        history.ndjson   {"seconds": 15, "rate": 820.5}

    KEY is a key below flowControl: --set write.throttling.acceptableBacklog=50000
    """
    from engine.core.errors import ConfigurationError
    from engine.flow.plant import Scenario
    from penstock.settings.limits import load_flow_control
    from penstock.simulation.loads import GivenLoad, read_load

    write = load_flow_control(file, os.environ, changes).write
    if write is None or not write.enabled:
        raise ConfigurationError(f"{file} does not limit writes; see flowControl.write.enabled")
    wanted = GivenLoad(((0.0, float(write.limit)),)) if offered is None else read_load(offered, "--offered")
    taken = read_load(capacity, "--capacity")
    scenario = Scenario(
        name=file.stem,
        offered=wanted.load,
        capacity=taken.load,
        seconds=_seconds(how_long, wanted, taken),
        last_change=max(wanted.last_change, taken.last_change),
    )
    if scenario.last_change >= scenario.seconds:
        raise ConfigurationError(f"--for: the loads change after the simulation has ended ({scenario.last_change} s)")
    results, as_set = _simulated(scenario, write)
    heading = f"offered {wanted.text}; exporter {taken.text}"
    if plot_file is not None:
        _write_plot(plot_file, results[as_set], heading)
    _tell(file, results, as_set, heading, as_json=as_json)


def _seconds(how_long: str | None, *loads: object) -> int:
    from engine.core.clock import NS_PER_SECOND
    from engine.core.durations import parse_duration_ns
    from engine.core.errors import ConfigurationError
    from penstock.simulation.loads import GivenLoad

    if how_long is None:
        recorded = [load.seconds for load in loads if isinstance(load, GivenLoad) and load.file is not None]
        seconds = max(recorded) if recorded else _SECONDS_DEFAULT
    else:
        try:
            seconds = parse_duration_ns(how_long) // NS_PER_SECOND
        except ValueError as error:
            raise ConfigurationError(f"--for: {error}") from None
    if not 1 <= seconds <= _SECONDS_MAX:
        raise ConfigurationError(f"--for must lie between 1 s and 7 d, not {seconds} s")
    return seconds


def _simulated(scenario: Scenario, write: WriteLimitSettings) -> tuple[dict[str, SimulationResult], str]:
    """The results by algorithm, and which one is set."""
    from engine.flow.plant import simulate as run
    from engine.flow.settings import ThrottlingAlgorithm

    throttling = write.throttling
    if not throttling.enabled:
        return {_UNTHROTTLED: run(scenario, write)}, _UNTHROTTLED
    results = {
        str(algorithm): run(scenario, replace(write, throttling=replace(throttling, algorithm=algorithm)))
        for algorithm in ThrottlingAlgorithm
    }
    return results, str(throttling.algorithm)


def _limits(write: WriteLimitSettings) -> str:
    from engine.core.durations import format_duration

    text = f"limit {write.limit:,}/s"
    if write.ramp_up_ns:
        text += f" after {format_duration(write.ramp_up_ns)}"
    throttling = write.throttling
    if not throttling.enabled:
        return text
    return (
        f"{text}, {throttling.algorithm} around {throttling.acceptable_backlog:,}, minimum "
        f"{throttling.minimum_limit:,}/s, each {format_duration(throttling.resolution_ns)}"
    )


def _write_plot(file: Path, result: SimulationResult, heading: str) -> None:
    from engine.core.errors import ConfigurationError
    from penstock.simulation.plot import plot

    try:
        file.write_text(plot(result, _limits(result.settings), heading), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--plot: {file} cannot be written: {(error.strerror or 'unknown').lower()}") from None


def _tell(file: Path, results: dict[str, SimulationResult], as_set: str, heading: str, *, as_json: bool) -> None:
    from engine.core.clock import NS_PER_SECOND
    from engine.core.durations import format_duration
    from penstock.simulation.figures import course, figures, table

    one = results[as_set]
    if as_json:
        answer = {
            "seconds": one.scenario.seconds,
            "asSet": as_set,
            "results": {name: {**figures(result), "course": course(result)} for name, result in results.items()},
        }
        echo_json(answer)
        return
    click.echo(f"{file}: {_limits(one.settings)}")
    click.echo(f"one partition for {format_duration(one.scenario.seconds * NS_PER_SECOND)}: {heading}")
    click.echo()
    click.echo(table(results, as_set))
