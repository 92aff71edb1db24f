"""`penstock exporters`: how the record exporters of a running pipeline are doing, and holding one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import msgspec

from penstock.cli.management_client import ManagementClient, url_option

PATH = "/api/exporters"
_NAME = click.argument("name")


@click.group()
def exporters() -> None:
    """Look at the record exporters of a running pipeline, or hold one."""


@exporters.command()
@url_option
@click.option("--json", "as_json", is_flag=True, help="The answer of the management port as it is.")
def ls(url: str, as_json: bool) -> None:
    """Show state, position, backlog and the last error of each exporter on each partition."""
    answer = ManagementClient(url).get(PATH)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
        return
    from penstock.cli.exporters_table import table
    from penstock.cli.flow_control_table import console

    console().print(table(answer))


@exporters.command()
@_NAME
@url_option
def pause(name: str, url: str) -> None:
    """Hold the exporter NAME where it is.

    Its backlog grows and throttles writes, and its records are kept; the pause ends with the run.
    """
    _asked(url, name, "pause")
    click.echo(f"{name} is paused")


@exporters.command()
@_NAME
@url_option
def resume(name: str, url: str) -> None:
    """Let the exporter NAME go on."""
    _asked(url, name, "resume")
    click.echo(f"{name} goes on")


def _asked(url: str, name: str, verb: str) -> Any:
    return ManagementClient(url).post(f"{PATH}/{quote(name, safe='')}/{verb}")
