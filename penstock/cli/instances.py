"""`penstock instances`: who shares a running pipeline, and who has which partition."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli import looking
from penstock.cli.groups import Group
from penstock.cli.management_client import ManagementClient, url_option

PATH = "/api/instances"


@click.group(cls=Group)
def instances() -> None:
    """Look at the instances that share a running pipeline."""


@instances.command()
@url_option
@looking.json_option
def ls(url: str, as_json: bool) -> None:
    """Show who is there, and who has which partition."""
    looking.show(lambda: ManagementClient(url).get(PATH), _table, as_json=as_json)


@instances.command()
@click.argument("partition", type=click.IntRange(1, 1024))
@url_option
def reopen(partition: int, url: str) -> None:
    """Let PARTITION, which has failed or stands still, try again on whichever instance it belongs to."""
    answer: Any = ManagementClient(url).post(f"{PATH}/partitions/{partition}/reopen")
    click.echo(f"partition {answer['partition']} is opened again")


def _table() -> looking.Draw:
    from penstock.cli.instances_table import table

    return table
