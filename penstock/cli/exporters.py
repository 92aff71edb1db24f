"""`penstock exporters`: how the record exporters of a running pipeline are doing, and holding one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from penstock.cli import looking
from penstock.cli.groups import Group
from penstock.cli.management_client import ManagementClient, url_option

PATH = "/api/exporters"
ALL_PATH = "/actuator/exporting"
_NAME = click.argument("name", required=False)


@click.group(cls=Group)
def exporters() -> None:
    """Look at the record exporters of a running pipeline, or hold one."""


@exporters.command()
@url_option
@looking.json_option
def ls(url: str, as_json: bool) -> None:
    """Show state, position, backlog and the last error of each exporter on each partition."""
    looking.show(lambda: ManagementClient(url).get(PATH), _table, as_json=as_json)


@exporters.command()
@_NAME
@click.option("--soft", is_flag=True, help="Go on exporting, and acknowledge nothing: for backups.")
@url_option
def pause(name: str | None, soft: bool, url: str) -> None:
    """Hold the exporter NAME where it is, or all of them.

    Its backlog grows and throttles writes, and its records are kept, also over a restart, until it is resumed.
    """
    _asked(url, name, "pause", "?soft=true" if soft else "")
    click.echo(f"{name or 'exporting'} is {'softly ' if soft else ''}paused")


@exporters.command()
@_NAME
@url_option
def resume(name: str | None, url: str) -> None:
    """Let the exporter NAME go on, or all of them."""
    _asked(url, name, "resume")
    click.echo(f"{name or 'exporting'} goes on")


def _asked(url: str, name: str | None, verb: str, query: str = "") -> Any:
    path = ALL_PATH if name is None else f"{PATH}/{quote(name, safe='')}"
    return ManagementClient(url).post(f"{path}/{verb}{query}")


def _table() -> looking.Draw:
    from penstock.cli.exporters_table import table

    return table
