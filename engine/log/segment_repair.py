"""Mends segments: what cannot be read is replaced by records that say so, at the same positions and commits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from engine.errors import DataFolderError
from engine.log.findings import Damage
from engine.log.lost import lost_batches
from engine.log.read_only import opened_to_read
from engine.log.segment_format import FORMAT_VERSION, Changes, encode_frame, segment_name
from engine.log.segment_look import STATE_NAME, look_at
from engine.log.segment_survey import Finding, Survey
from engine.log.segment_walk import SegmentFile
from engine.log.storage import Entry
from engine.records import WriteSource
from engine.unit import Unit

_NO_UNIT = Unit(source=WriteSource.INTERNAL)


def repair_segments(folder: Path, damages: Sequence[Damage]) -> None:
    """Each damaged segment is written anew, and takes the place of the old one in one step.

    So a crash leaves each as it was, or mended. Raises `DataFolderError` where something else is damaged than what
    `damages` say.
    """
    told = {_key(damage): damage for damage in damages}
    for path, findings in _by_segment(folder):
        found = [damage for finding in findings for damage in finding.damages]
        if not found:
            continue
        if any(_key(damage) not in told for damage in found):
            raise DataFolderError(f"{path} is not damaged as it was when it was verified; verify it again")
        mended = path.with_suffix(".mended")
        with mended.open("wb") as file:
            for part in _mended(path, findings, told):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        mended.replace(path)
        _sync_folder(folder)


def _by_segment(folder: Path) -> Iterator[tuple[Path, list[Finding]]]:
    """What there is to say of each segment; of one that is not there too, where it has to be."""
    with ExitStack() as stack:
        db = stack.enter_context(closing(opened_to_read(folder / STATE_NAME, FORMAT_VERSION)))
        survey = Survey(0, look_at(folder, db, stack), thorough=True)
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


def _mended(path: Path, findings: Sequence[Finding], told: dict[object, Damage]) -> Iterator[bytes]:
    """The content of the segment, with what is lost replaced. What was never finished is left out."""
    with ExitStack() as stack:
        file = stack.enter_context(SegmentFile(path)) if path.exists() else None
        for finding in findings:
            if finding.whole is not None:
                yield from _lost_commits(finding, told[_key(finding.whole)])
            elif finding.batches:
                assert file is not None, "batches that are damaged are in a file"
                yield from _frame_with_lost_batches(file, finding, told)
            elif file is not None:
                yield file.bytes_of(finding.stretch)


def _lost_commits(finding: Finding, damage: Damage) -> Iterator[bytes]:
    """The first of them holds all that is lost, the others nothing: neither positions nor commits have a gap."""
    before, after = finding.stretch.before, finding.stretch.after
    lost = lost_batches(replace(damage, first_position=before.position))
    yield from encode_frame(before.commit, before.position, [Entry(_NO_UNIT, batch) for batch in lost])
    for commit in range(before.commit + 1, after.commit):
        yield from encode_frame(commit, after.position, [])


def _frame_with_lost_batches(file: SegmentFile, finding: Finding, told: dict[object, Damage]) -> list[bytes]:
    """All else that the commit says stays."""
    body = finding.stretch.body
    assert body is not None, "its batches could be told apart"
    entries = [Entry(_unit_of(changes), None) for changes in body.changes]
    for i, batch in enumerate(file.batches(finding.stretch)):
        damage = finding.batches.get(i)
        batches = [batch] if damage is None else lost_batches(told[_key(damage)])
        entries += [Entry(_NO_UNIT, one) for one in batches]
    return encode_frame(*finding.stretch.before, entries)


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


def _key(damage: Damage) -> object:
    return damage.first_position, damage.last_position, damage.commits


def _sync_folder(folder: Path) -> None:
    """The new name survives the machine."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
