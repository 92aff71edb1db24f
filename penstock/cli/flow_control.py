"""`penstock flow-control`: looks at the limits of a running pipeline, and changes them."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from penstock.cli import looking
from penstock.cli.groups import Group
from penstock.cli.json_output import echo_json
from penstock.cli.management_client import ManagementClient, url_option

PATH = "/api/flow-control"
Query = list[tuple[str, object]]

_partition = click.option(
    "--partition", "partitions", type=click.IntRange(1), multiple=True, help="Only this one; may be given again."
)
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")


@click.group("flow-control", cls=Group)
def flow_control() -> None:
    """Look at the limits of a running pipeline, or change them.

    What is set here holds at once, until it is reverted, its time is over or the pipeline ends
    (flowControl.persistOverrides keeps it over a restart).
    """


@flow_control.command()
@url_option
@_partition
@looking.watch_options
@looking.json_option
def get(url: str, partitions: tuple[int, ...], watch: bool, every: float, as_json: bool) -> None:
    """Show the effective limits, the backlog, and why."""
    client = ManagementClient(url)

    def look() -> Any:
        return client.get(PATH, _query(partitions))

    if watch:
        looking.watch(look, _table, every, as_json=as_json)
    else:
        looking.show(look, _table, as_json=as_json)


@flow_control.command("set")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@url_option
@_partition
@click.option("--ttl", metavar="DURATION", help="For how long, such as 15m; the configured limits come back then.")
@_dry_run
@looking.json_option
def set_(
    settings: tuple[str, ...], url: str, partitions: tuple[int, ...], ttl: str | None, dry_run: bool, as_json: bool
) -> None:
    """Set values of flow control, such as write.limit=2000.

    The keys are those of the file, below flowControl: write.limit, write.throttling.enabled, request.algorithm.
    VALUE null brings the configured value back.
    """
    query = _query(partitions, dry_run=dry_run)
    if ttl is not None:
        query.append(("ttl", ttl))
    _tell(ManagementClient(url).patch(PATH, merge_patch(settings), query), as_json=as_json)


@flow_control.command()
@url_option
@_partition
@_dry_run
@looking.json_option
def revert(url: str, partitions: tuple[int, ...], dry_run: bool, as_json: bool) -> None:
    """Bring the configured limits back."""
    _tell(ManagementClient(url).delete(PATH, _query(partitions, dry_run=dry_run)), as_json=as_json)


def merge_patch(settings: tuple[str, ...]) -> dict[str, Any]:
    """`write.limit=2000` and the like as one JSON merge patch. A value is JSON, or else text."""
    root: dict[str, Any] = {}
    for setting in settings:
        key, equals, written = setting.partition("=")
        *above, last = key.split(".")
        if not equals or not all((*above, last)):
            raise click.UsageError(f"{setting!r} must be a key and a value, such as write.limit=2000")
        section = root
        for name in above:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise click.UsageError(f"{key}: {name} is set to a value already")
        if last in section:
            raise click.UsageError(f"{key} is set twice")
        section[last] = _value(written)
    return root


def _value(written: str) -> Any:
    try:
        return msgspec.json.decode(written)
    except msgspec.DecodeError:
        return written


def _query(partitions: tuple[int, ...], *, dry_run: bool = False) -> Query:
    query: Query = [("partition", number) for number in partitions]
    return [*query, ("dry_run", "true")] if dry_run else query


def _tell(answer: Any, *, as_json: bool) -> None:
    if as_json:
        echo_json(answer)
        return
    from penstock.cli.flow_control_table import changes

    for line in changes(answer):
        click.echo(line)


def _table() -> looking.Draw:
    from penstock.cli.flow_control_table import limits

    return limits
