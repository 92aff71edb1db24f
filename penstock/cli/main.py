"""The command's frame: its commands, and how it ends."""

from __future__ import annotations

import sys

import click

import penstock
from engine.core.interpreter import has_gil
from engine.runtime.arenas import keep_few_arenas
from exporter.build import gil_word, python_version
from exporter.descriptors import raise_limit
from penstock.cli.back_pressure import back_pressure
from penstock.cli.bridge import bridge
from penstock.cli.check import check
from penstock.cli.dashboards import dashboards
from penstock.cli.demo import demo
from penstock.cli.ending import ended
from penstock.cli.exporters import exporters
from penstock.cli.flow_control import flow_control
from penstock.cli.health import health
from penstock.cli.instances import instances
from penstock.cli.log import log
from penstock.cli.new import new
from penstock.cli.rejects import rejects
from penstock.cli.run import run
from penstock.cli.simulate import simulate
from penstock.cli.watch import watch


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 it went well, 1 the run failed, 2 wrong usage or configuration, "
    "3 rejects (run --fail-on-rejects).",
)
@click.version_option(
    penstock.__version__,
    prog_name="penstock",
    message=f"%(prog)s, version %(version)s, Python {python_version()}, GIL {gil_word(has_gil())}",
)
@click.pass_context
def commands(context: click.Context) -> None:
    """A stream engine whose flow you can see."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


commands.add_command(demo)
commands.add_command(new)
commands.add_command(run)
commands.add_command(check)
commands.add_command(flow_control)
commands.add_command(simulate)
commands.add_command(back_pressure)
commands.add_command(exporters)
commands.add_command(instances)
commands.add_command(health)
commands.add_command(rejects)
commands.add_command(log)
commands.add_command(bridge)
commands.add_command(watch)
commands.add_command(dashboards)


def main() -> None:
    """Runs the command that the shell asked for, and exits."""
    keep_few_arenas()
    raise_limit()
    sys.exit(ended(lambda: commands.main(prog_name="penstock", standalone_mode=False)))
