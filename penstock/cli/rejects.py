"""`penstock rejects`: what was set aside in a data folder, and trying it again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from penstock.cli.groups import Group
from penstock.cli.json_output import echo_json

if TYPE_CHECKING:
    from engine.core.snapshot import RejectsSnapshot
    from engine.writing.reject_folder import RejectFolder

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_TASK = click.argument("task")


@click.group(cls=Group)
def rejects() -> None:
    """Look at what was set aside in the data folder DIR, and try it again.

    All of it may be done while a pipeline runs over the folder.
    """


@rejects.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def ls(folder: Path, as_json: bool) -> None:
    """List the tasks that set values aside: how many, and since when."""
    counts = _rejects_of(folder).counts()
    if as_json:
        echo_json({"rejects": [_counted(one) for one in counts]})
        return
    if not counts:
        click.echo("nothing is set aside")
    for one in counts:
        since = (
            ""
            if one.oldest_wall_ns is None
            else f", since {datetime.fromtimestamp(one.oldest_wall_ns / 1e9, UTC):%F %T}Z"
        )
        click.echo(f"{one.task}  {one.count:,}{since}")


@rejects.command()
@_FOLDER
@_TASK
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
def cat(folder: Path, task: str, limit: int | None) -> None:
    """Print the rejects of TASK, oldest first, one JSON object a line."""
    for number, line in enumerate(_rejects_of(folder).lines(task)):
        if number == limit:
            break
        click.echo(msgspec.json.encode(line))


@rejects.command()
@_FOLDER
@_TASK
@click.option("--dry-run", is_flag=True, help="Only say what would be tried again.")
def replay(folder: Path, task: str, dry_run: bool) -> None:
    """Try the rejects of TASK again, each once.

    Those of an exporter are handed to it once more; those in front of the log go through the pipeline, from where they
    fell out of it. The pipeline that runs over DIR does it within a second, or else the next run of it, before it
    ends. What fails again is rejected again.
    """
    from engine.writing.again import is_whole

    found = _rejects_of(folder)
    if not dry_run:
        count = found.set_out(task, time.time_ns())
        click.echo(f"{count:,} rejects of {task} will be tried again")
        return
    lines = list(found.lines(task))
    cannot = sum(not is_whole(line) for line in lines)
    but = f"; of {cannot:,} only a part was kept, they will be rejected again" if cannot else ""
    click.echo(f"{len(lines):,} rejects of {task} would be tried again{but}")


@rejects.command()
@_FOLDER
@_TASK
def drop(folder: Path, task: str) -> None:
    """Delete the rejects of TASK: nobody needs them any more."""
    click.echo(f"{_rejects_of(folder).drop(task):,} rejects of {task} are deleted")


def _counted(one: RejectsSnapshot) -> dict[str, Any]:
    """As `/api/rejects` has it."""
    oldest_at = None if one.oldest_wall_ns is None else one.oldest_wall_ns / 1e9
    return {"task": one.task, "count": one.count, "oldestAt": oldest_at}


def _rejects_of(folder: Path) -> RejectFolder:
    from engine.runtime.data_folder import DataFolder
    from engine.writing.reject_folder import RejectFolder

    data = DataFolder(folder)
    # Whatever stands there otherwise is no data folder of ours.
    data.description()
    return RejectFolder(data.rejects)
