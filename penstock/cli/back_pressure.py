"""`penstock back-pressure`: who is held back in a running pipeline, and by whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from penstock.cli.json_output import echo_json
from penstock.cli.management_client import ManagementClient, url_option

if TYPE_CHECKING:
    from rich.console import Console

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

    def look() -> Any:
        return client.get(PATH)

    if watch:
        with suppress(KeyboardInterrupt):
            _watch(look, every, as_json=as_json)
    elif as_json:
        echo_json(look())
    else:
        from penstock.cli.back_pressure_table import tasks
        from penstock.cli.flow_control_table import console

        console().print(tasks(look()))


def _watch(look: Callable[[], Any], every: float, *, as_json: bool) -> NoReturn:
    """Until Ctrl-C, which is how it is meant to end. Into a file or a pipe each look goes behind the last."""
    from penstock.cli.back_pressure_table import tasks
    from penstock.cli.flow_control_table import console

    page = console()
    if page.is_terminal and not as_json:
        _live(look, every, page)
    while True:
        if as_json:
            echo_json(look(), indent=-1)
        else:
            page.print(tasks(look()))
        time.sleep(every)


def _live(look: Callable[[], Any], every: float, page: Console) -> NoReturn:
    from rich.live import Live

    from penstock.cli.back_pressure_table import tasks

    with Live(tasks(look()), console=page, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(tasks(look()), refresh=True)
