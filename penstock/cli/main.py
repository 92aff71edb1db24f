"""The command's frame: its commands, and how it ends."""

from __future__ import annotations

import sys

import click

from engine.runtime.arenas import keep_few_arenas
from exporter.descriptors import raise_limit
from penstock.cli.ending import ended
from penstock.cli.groups import LazyGroup

# In the order in which a stranger needs them. Each says the first sentence of the command's own help.
_COMMANDS = {
    "demo": "Watch flow control and back pressure at work, on real flights.",
    "new": "Make a pipeline to begin with: configuration, processor, data and a test.",
    "run": "Run the pipeline of FILE.",
    "check": "Check FILE and say what would run.",
    "flow-control": "Look at the limits of a running pipeline, or change them.",
    "simulate": "Say what the limits of FILE would do to one partition, on simulated time.",
    "back-pressure": "Show how hard each task is pushed back, and the task to blame.",
    "exporters": "Look at the record exporters of a running pipeline, or hold one.",
    "instances": "Look at the instances that share a running pipeline.",
    "health": "Say whether the pipeline of FILE is ready: exit code 0, or 1 with the reason.",
    "rejects": "Look at what was set aside in the data folder DIR, and try it again.",
    "log": "Look into the log of a data folder, DIR, or of a pipeline whose log is in Kafka: then DIR is its file.",
    "bridge": "Look at another engine as if it were a pipeline of Penstock's.",
    "watch": "Serve what the threads of the Python process PID do, seen from outside by their stacks, until Ctrl-C.",
    "dashboards": "Write or check the files for Grafana and Prometheus.",
    "completion": "Print what makes SHELL complete the commands and options of penstock.",
}


def _tell_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from engine.core.interpreter import has_gil
    from exporter.build import gil_word, python_version
    from penstock import __version__

    click.echo(f"penstock, version {__version__}, Python {python_version()}, GIL {gil_word(has_gil())}")
    context.exit()


@click.group(
    cls=LazyGroup,
    package="penstock.cli",
    sentences=_COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 it went well, 1 the run failed, 2 wrong usage or configuration, "
    "3 rejects (run --fail-on-rejects).",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
@click.pass_context
def commands(context: click.Context) -> None:
    """A stream engine whose flow you can see."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Runs the command that the shell asked for, and exits."""
    keep_few_arenas()
    raise_limit()
    sys.exit(ended(lambda: commands.main(prog_name="penstock", standalone_mode=False)))
