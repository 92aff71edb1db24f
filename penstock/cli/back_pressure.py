"""`penstock back-pressure`: who is held back in a running pipeline, and by whom."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli import looking
from penstock.cli.management_client import ManagementClient, url_option

PATH = "/api/back-pressure"


@click.command("back-pressure")
@url_option
@looking.watch_options
@looking.json_option
def back_pressure(url: str, watch: bool, every: float, as_json: bool) -> None:
    """Show how hard each task is pushed back, and the task to blame.

    The ratio is the share of stack samples that found a subtask held back, with its level (ok up to 0.10, low up to
    0.5, high above) and its 95 % confidence interval; busy, idle and held-back time are by the tasks' own timers over
    the last ten seconds.
    """
    client = ManagementClient(url)

    def look() -> Any:
        return client.get(PATH)

    if watch:
        looking.watch(look, _table, every, as_json=as_json)
    else:
        looking.show(look, _table, as_json=as_json)


def _table() -> looking.Draw:
    from penstock.cli.back_pressure_table import tasks

    return tasks
