"""`penstock back-pressure`: who is held back in a running pipeline, and by whom."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from penstock.cli.management_client import ManagementClient, url_option

PATH = "/api/back-pressure"


@click.command("back-pressure")
@url_option
@click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--every", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--json", "as_json", is_flag=True, help="The answer of the management port as it is.")
def back_pressure(url: str, watch: bool, every: float, as_json: bool) -> None:
    """Show how hard each task is pushed back, and the task to blame.

    The ratio is the share of stack samples that found a subtask held back, with its level (ok up to 0.10, low up to
    0.5, high above) and its 95 % confidence interval; busy, idle and held-back time are by the tasks' own timers over
    the last ten seconds.
    """
    client = ManagementClient(url)
    if as_json:
        _echo(client.get(PATH), indent=-1 if watch else 2)
        while watch:
            time.sleep(every)
            _echo(client.get(PATH))
        return

    from rich.live import Live

    from penstock.cli.back_pressure_table import tasks
    from penstock.cli.flow_control_table import console

    if not watch:
        console().print(tasks(client.get(PATH)))
        return
    with Live(tasks(client.get(PATH)), console=console(), auto_refresh=False, screen=False) as live:
        while True:
            time.sleep(every)
            live.update(tasks(client.get(PATH)), refresh=True)


def _echo(answer: Any, *, indent: int = -1) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=indent).decode())
