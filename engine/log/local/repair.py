"""Mends segments: what cannot be read is replaced by records that say so, at the same positions and commits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import DataFolderError
from engine.core.records import WriteSource
from engine.core.unit import Unit
from engine.log.findings import Damage
from engine.log.local.disk import Disk
from engine.log.local.floor import Floor, FloorFile, floor_path, read_floor
from engine.log.local.format import (
    HEAD_BYTES,
    Head,
    encode_frame,
    encode_head,
    new_mark,
    segment_header,
    segment_name,
)
from engine.log.local.identity import NOWHERE, LogIdentity
from engine.log.local.look import floor_as_it_is, look_at
from engine.log.local.read_only import opened_to_read
from engine.log.local.segment_file import Place, SegmentFile, Stretch
from engine.log.local.survey import Finding, Survey
from engine.log.lost import lost_batches
from engine.log.rows.changes import Changes
from engine.log.rows.tables import STATE_NAME
from engine.log.storage import Entry

# More lost positions and commits than this are not replaced one by one.
_LOST_MAX = 100_000_000
_NO_UNIT = Unit(source=WriteSource.INTERNAL)


def repair(folder: Path, damages: Sequence[Damage], identity: LogIdentity = NOWHERE) -> None:
    """Puts records that say `lost` in the place of those that can no longer be read.

    Everything behind them stays, and so do all positions: those of processor and exporters hold, and no position is
    ever given twice. Each damaged segment is written anew, and takes the place of the old one in one step: a crash
    leaves each as it was, or mended; verify and repair again then. For who holds the data folder. Raises
    `DataFolderError` where something else is damaged than what `damages` say.
    """
    for damage in damages:
        if _size_of(damage) > _LOST_MAX:
            raise DataFolderError(
                f"{folder}: positions {damage.first_position} to {damage.last_position} are too many to be replaced "
                "one by one; bring the folder back from a copy"
            )
    told = {_key(damage): damage for damage in damages}
    floor = _floor_of(folder, identity)
    for path, findings in _by_segment(folder, floor):
        found = [damage for finding in findings for damage in finding.damages]
        if not found:
            continue
        if any(_key(damage) not in told for damage in found):
            raise DataFolderError(f"{path} is not damaged as it was when it was verified; verify it again")
        mended = path.with_suffix(".mended")
        with mended.open("wb") as file:
            _mend(path, findings, told, _Segment(file, identity))
            file.flush()
            os.fsync(file.fileno())
        mended.replace(path)
        _sync_folder(folder)
    end = _end_of(folder, floor)
    mended_floor = FloorFile(floor_path(folder), identity, Disk())
    # What has been replaced says something else than before.
    mended_floor.make(floor._replace(commit=end.commit - 1, position=end.position - 1, checksum=0))
    mended_floor.close()


def _floor_of(folder: Path, identity: LogIdentity) -> Floor:
    """Where nobody knows it any more, the log is taken as it is."""
    try:
        return read_floor(floor_path(folder), identity)
    except DataFolderError:
        return floor_as_it_is(folder)


def _end_of(folder: Path, floor: Floor) -> Place:
    with ExitStack() as stack:
        db = stack.enter_context(closing(opened_to_read(folder / STATE_NAME)))
        look = look_at(folder, db, lambda: floor, stack)
        return max((piece.after for *_, piece in look.pieces() if isinstance(piece, Stretch)), default=look.known)


def _by_segment(folder: Path, floor: Floor) -> Iterator[tuple[Path, list[Finding]]]:
    """What there is to say of each segment; of one that is not there too, where it has to be."""
    with ExitStack() as stack:
        db = stack.enter_context(closing(opened_to_read(folder / STATE_NAME)))
        survey = Survey(0, look_at(folder, db, lambda: floor, stack), thorough=True)
        held: tuple[Path, list[Finding]] | None = None
        for finding in survey.findings():
            path = finding.segment.path if finding.segment else folder / segment_name(*finding.stretch.before)
            if held is not None and held[0] == path:
                held[1].append(finding)
                continue
            if held is not None:
                yield held
            held = path, [finding]
        if held is not None:
            yield held


class _Segment:
    """A segment that is written anew, with a mark of its own: nobody knows what else lies in the old one."""

    def __init__(self, file: BinaryIO, identity: LogIdentity) -> None:
        self._file = file
        self._mark = new_mark()
        self._end = 0
        self._write(segment_header(self._mark, identity))

    def _write(self, part: bytes) -> None:
        self._file.write(part)
        self._end += len(part)

    def put(self, place: Place, entries: Sequence[Entry]) -> None:
        """A new commit."""
        for part in encode_frame(place.commit, place.position, entries, self._mark, self._end):
            self._write(part)

    def keep(self, head: Head, frame: bytes) -> None:
        """A commit as it was, where it lies now."""
        self._write(encode_head(head, self._mark, self._end) + frame[HEAD_BYTES:])


def _mend(path: Path, findings: Sequence[Finding], told: dict[object, Damage], mended: _Segment) -> None:
    """The content of the segment, with what is lost replaced. What was never finished is left out."""
    with ExitStack() as stack:
        file = stack.enter_context(SegmentFile(path)) if path.exists() else None
        for finding in findings:
            stretch = finding.stretch
            if stretch.body is None:
                _put_lost_commits(finding, told, mended)
                continue
            assert file is not None, "a body is in a file"
            assert stretch.head is not None, "and behind its head"
            if finding.batches:
                _put_lost_batches(file, finding, told, mended)
            else:
                mended.keep(stretch.head, file.bytes_of(stretch))


def _put_lost_commits(finding: Finding, told: dict[object, Damage], mended: _Segment) -> None:
    """The first of them holds all that is lost, the others nothing: neither positions nor commits have a gap."""
    before, after = finding.stretch.before, finding.stretch.after
    if before.commit == after.commit:
        # It was the header alone.
        return
    damage = Damage(
        partition=0,
        first_position=before.position,
        last_position=after.position - 1,
        timestamp_ns=told[_key(finding.whole)].timestamp_ns if finding.whole else 0,
        why=finding.stretch.why,
    )
    entries = [Entry(_NO_UNIT, batch) for batch in lost_batches(damage)]
    if finding.instead is not None:
        entries.append(Entry(finding.instead, None))
    mended.put(before, entries)
    for commit in range(before.commit + 1, after.commit):
        mended.put(Place(commit, after.position), [])


def _put_lost_batches(file: SegmentFile, finding: Finding, told: dict[object, Damage], mended: _Segment) -> None:
    """All else that the commit says stays."""
    body = finding.stretch.body
    assert body is not None, "its batches could be told apart"
    entries = [Entry(_unit_of(changes), None) for changes in body.changes]
    for i, batch in enumerate(file.batches(finding.stretch)):
        damage = finding.batches.get(i)
        batches = [batch] if damage is None else lost_batches(told[_key(damage)])
        entries += [Entry(_NO_UNIT, one) for one in batches]
    mended.put(finding.stretch.before, entries)


def _unit_of(changes: Changes) -> Unit:
    """The other way round than `Changes.of`."""
    return Unit(
        source=WriteSource.INTERNAL,
        state=changes.state,
        progress=changes.progress,
        timers_added=changes.timers_added,
        timers_fired=changes.timers_fired,
        outbox=changes.outbox,
        delivered=changes.delivered,
        received=changes.received,
        processed_position=changes.processed_position,
        acknowledged={one.exporter: one for one in changes.acknowledged},
    )


def _size_of(damage: Damage) -> int:
    first, last = damage.commits or (0, -1)
    return damage.records + last - first + 1


def _key(damage: Damage) -> object:
    return damage.first_position, damage.last_position, damage.commits


def _sync_folder(folder: Path) -> None:
    """The new name survives the machine."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
