"""`penstock log`: what is in a data folder's log, and whether it is whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.groups import Group
from penstock.cli.json_output import echo_json

if TYPE_CHECKING:
    from engine.kafka.settings import KafkaLogSettings
    from engine.log.findings import Damage, Overview, Verdict
    from engine.log.kafka.inspection import KafkaInspection
    from engine.log.local.inspection import Inspection
    from engine.runtime.data_folder import DataFolder

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_PARTITION = click.option("--partition", type=click.IntRange(1), help="Only this partition.")


@click.group(cls=Group)
def log() -> None:
    """Look into the log of a data folder, DIR, or of a pipeline whose log is in Kafka: then DIR is its file.

    Everything here may be done while a pipeline runs over the folder, except `verify --repair`.
    """


@log.command()
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def ls(folder: Path, as_json: bool) -> None:
    """List the partitions: positions, sizes, times, and who stands where."""
    where = _Where(folder)
    if as_json:
        found = []
        for inspection in where.inspections(None):
            with inspection:
                found.append(_as_json(inspection.overview()))
        echo_json({"pipeline": where.pipeline, "partitions": found})
        return
    click.echo(f"pipeline {where.pipeline}, {_count(where.partitions, 'partition')}")
    for inspection in where.inspections(None):
        with inspection:
            click.echo("\n".join(_listed(inspection.overview())))


@log.command()
@_FOLDER
@_PARTITION
@click.option("--from", "first", type=click.IntRange(0), default=1, help="First position.")
@click.option("--to", "last", type=click.IntRange(0), help="Last position.")
@click.option("--limit", type=click.IntRange(0), help="At most so many records of each partition.")
def cat(folder: Path, partition: int | None, first: int, last: int | None, limit: int | None) -> int:
    """Print records as JSON lines, partition by partition.

    Exit code 1 when JSON cannot say some of them: the others are printed, these are named on stderr.
    """
    from itertools import islice

    from engine.exporting.document import UNSAYABLE, encoded_lines, why_unsayable

    code = 0
    try:
        for inspection in _Where(folder).inspections(partition):
            with inspection:
                for record in islice(inspection.records(first, last), limit):
                    try:
                        line = encoded_lines([record], inspection.partition)
                    except UNSAYABLE as error:
                        place = f"partition {inspection.partition}, position {record.position}"
                        click.echo(f"{place}: {why_unsayable(error)}", err=True)
                        code = 1
                    else:
                        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough; the interpreter must not try to flush again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


@log.command()
@_FOLDER
@_PARTITION
@click.option("--repair", "mend", is_flag=True, help="Put records that say so in the place of what is lost.")
@click.option("--yes", is_flag=True, help="Repair without asking.")
def verify(folder: Path, partition: int | None, mend: bool, yes: bool) -> int:
    """Check every batch's checksum and that no position is missing.

    Exit code 1 when something is damaged. With --repair, and after saying exactly what is lost, the damaged records are
    replaced by records with the intent `lost`, so that the pipeline can go on: all that is whole stays, and so do
    all positions. What a damaged commit has changed is lost with it where the state does not have it yet; that is said
    too. Not while a pipeline runs over the folder.
    """
    from engine.runtime.data_folder import DataFolder

    if yes and not mend:
        raise click.UsageError("--yes goes with --repair")
    where = _Where(folder)
    data = DataFolder(folder)
    if mend and where.is_kafka:
        raise click.UsageError("--repair is for the log of this machine; Kafka repairs its topics from their copies")
    if mend:
        data.hold()
    try:
        found = [*_verified(where, partition)]
        verdicts = [verdict for verdict in found if verdict is not None]
        is_whole = len(verdicts) == len(found) and all(verdict.is_whole for verdict in verdicts)
        if is_whole or not mend:
            return 0 if is_whole else 1
        if len(verdicts) < len(found):
            click.echo("what a start refuses as a whole cannot be repaired; nothing was changed")
            return 1
        return _repaired(data, verdicts, yes)
    finally:
        data.close()


def _repaired(data: DataFolder, verdicts: Sequence[Verdict], yes: bool) -> int:
    from engine.log.local.repair import repair

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("--repair needs --yes where nobody can be asked")
    if not yes and not click.confirm("These records cannot be brought back. Put records that say so in their place?"):
        click.echo("nothing was changed")
        return 1
    for verdict in verdicts:
        if not verdict.is_whole:
            repair(verdict.overview.path, verdict.damages, data.identity(verdict.overview.partition))
    without = any(damage.changes_lost for verdict in verdicts for damage in verdict.damages)
    click.echo(f"repaired; the pipeline can go on{', without what is lost' if without else ''}")
    return 0


class _Where:
    """Where a log is that is looked into: in a data folder or, for the file of a pipeline, in its Kafka cluster."""

    def __init__(self, path: Path) -> None:
        from engine.core.errors import DataFolderError
        from engine.runtime.data_folder import DataFolder

        self._kafka: KafkaLogSettings | None = None
        if path.is_file():
            from penstock.settings import load_settings

            settings = load_settings(path, os.environ, leave_code_to_workers=True)
            self._kafka = settings.options.kafka
            self.pipeline, self.partitions = settings.pipeline.name, settings.pipeline.partitions
            path = settings.data
        self._data = DataFolder(path)
        if self._kafka is None:
            description = self._data.description()
            self.pipeline, self.partitions = description.pipeline, description.partitions
            if description.storage == "kafka":
                raise DataFolderError(
                    f"the log of data folder {path} is in Kafka; name the pipeline's file instead of the folder"
                )

    @property
    def is_kafka(self) -> bool:
        return self._kafka is not None

    def inspections(self, partition: int | None) -> Iterator[Inspection | KafkaInspection]:
        if partition is not None and partition > self.partitions:
            raise click.UsageError(f"there are {_count(self.partitions, 'partition')}, and none is {partition}")
        numbers = range(1, self.partitions + 1) if partition is None else (partition,)
        if self._kafka is not None:
            from engine.runtime.kafka_log import kafka_inspections

            yield from kafka_inspections(self._kafka, self.pipeline, self.partitions, numbers)
            return
        from engine.log.local.inspection import Inspection

        for number in numbers:
            yield Inspection(number, self._data.partition_path(number), self._data.identity(number))


def _verified(where: _Where, partition: int | None) -> Iterator[Verdict | None]:
    """None for a partition that a start refuses as a whole; it says so in the same words."""
    from engine.core.errors import DataFolderError

    for inspection in where.inspections(partition):
        try:
            with inspection:
                verdict = inspection.verify()
        except DataFolderError as error:
            click.echo(f"partition {inspection.partition}: REFUSED: {error}")
            yield None
            continue
        overview = verdict.overview
        held = f"{_count(overview.records, 'record')} in {_count(overview.batches, 'batch', 'batches')}"
        which = f", positions {overview.oldest_position} to {overview.last_position}" if overview.records else ""
        state = "all whole" if verdict.is_whole else "DAMAGED"
        click.echo(f"partition {overview.partition}: {held}{which}: {state}")
        for damage in verdict.damages:
            click.echo("\n".join(_lost(damage, overview)))
        if verdict.floor_refused:
            click.echo(f"  {verdict.floor_refused}")
        if verdict.unfinished_bytes:
            more = _count(verdict.unfinished_bytes, "byte")
            click.echo(f"  behind them {more} of a write that is under way or was cut short; a start drops it")
        yield verdict


def _lost(damage: Damage, overview: Overview) -> Iterator[str]:
    """What cannot be read any more, and who had no use of it yet."""
    first, last = damage.first_position, damage.last_position
    if not damage.records and damage.commits is None:
        yield f"  in front of position {first}: {damage.why}"
        return
    which = _range("position", first, last) if damage.records else _range("commit", *(damage.commits or (0, 0)))
    when = f", written about {_time(damage.timestamp_ns)}" if damage.timestamp_ns else ""
    yield f"  {which}: {damage.why} ({_count(damage.records, 'record')}{when})"
    if damage.changes_lost:
        yield "    what it changed besides is lost too: keyed state, timers, messages, how far everybody has come"
    if not damage.records:
        return
    if overview.processed_position < last:
        begin = max(first, overview.processed_position + 1)
        yield f"    not processed, if there is a processor: {_count(last - begin + 1, 'record')} from {begin} on"
    for name, position in overview.exporters.items():
        if position < last:
            begin = max(first, position + 1)
            yield f"    not exported by {name}: {_count(last - begin + 1, 'record')} from {begin} on"


def _listed(overview: Overview) -> Iterable[str]:
    rows = [
        ("records", f"{overview.records} in {_count(overview.batches, 'batch', 'batches')}"),
        ("positions", f"{overview.oldest_position} to {overview.last_position}" if overview.records else "none"),
        ("written", f"{_time(overview.oldest_timestamp_ns)} to {_time(overview.last_timestamp_ns)}"),
        ("size", f"{overview.size_bytes / 1_000_000:.1f} MB, {overview.path}"),
        ("processed", f"{overview.processed_position}"),
        *((f"exporter {name}", f"{position}") for name, position in overview.exporters.items()),
        ("waiting", f"{_count(overview.timers, 'timer')}, {_count(overview.outbox, 'message')} to other partitions"),
    ]
    if not overview.records:
        rows.pop(2)
    width = max(len(name) for name, _ in rows)
    yield f"partition {overview.partition}"
    yield from (f"  {name:{width}}  {what}" for name, what in rows)


def _as_json(overview: Overview) -> dict[str, Any]:
    return {
        "partition": overview.partition,
        "path": str(overview.path),
        "sizeBytes": overview.size_bytes,
        "batches": overview.batches,
        "records": overview.records,
        "oldestPosition": overview.oldest_position if overview.records else None,
        "lastPosition": overview.last_position,
        "oldestAt": _seconds(overview.oldest_timestamp_ns),
        "lastAt": _seconds(overview.last_timestamp_ns),
        "processedPosition": overview.processed_position,
        "exporters": overview.exporters,
        "timers": overview.timers,
        "outbox": overview.outbox,
    }


def _seconds(wall_ns: int | None) -> float | None:
    return None if wall_ns is None else wall_ns / 1e9


def _range(what: str, first: int, last: int) -> str:
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _time(wall_ns: Any) -> str:
    if wall_ns is None:
        return "never"
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
