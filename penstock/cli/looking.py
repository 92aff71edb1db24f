"""Looking at a running pipeline: once, or again and again until Ctrl-C; as a table, or as JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from penstock.cli.json_output import echo_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Command = TypeVar("Command", bound=Callable[..., Any])
Look = Callable[[], Any]
Draw = Callable[[Any], "RenderableType"]

# Wide enough for the tables where nobody says how wide the page is.
_PAGE_WIDTH = 140

json_option = click.option("--json", "as_json", is_flag=True, help="The answer of the management port as it is.")


def watch_options(command: Command) -> Command:
    every = click.option(
        "--every", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between two looks."
    )
    return click.option("--watch", is_flag=True, help="Look again and again, until Ctrl-C.")(every(command))


def show(look: Look, drawn: Callable[[], Draw], *, as_json: bool) -> None:
    """`drawn` gives who makes a table of an answer; asked for only where one is made, for that takes time to load."""
    if as_json:
        echo_json(look())
    else:
        _page().print(drawn()(look()))


def watch(look: Look, drawn: Callable[[], Draw], every: float, *, as_json: bool) -> None:
    """Until Ctrl-C, which is how it is meant to end. Into a file or a pipe each look goes behind the last."""
    page, draw = _page(), drawn()
    with suppress(KeyboardInterrupt):
        if page.is_terminal and not as_json:
            _live(look, draw, every, page)
        while True:
            if as_json:
                echo_json(look(), indent=-1)
            else:
                page.print(draw(look()))
            time.sleep(every)


def _live(look: Look, draw: Draw, every: float, page: Console) -> NoReturn:
    from rich.live import Live

    with Live(draw(look()), console=page, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(draw(look()), refresh=True)


def _page() -> Console:
    """As wide as the terminal; what goes into a file or a pipe is not cut."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=_PAGE_WIDTH)
