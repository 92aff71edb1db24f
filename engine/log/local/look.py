"""What lies in a folder of segments at one moment: its files, its database, and how far that one has come."""

from __future__ import annotations

import os
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from engine.core.unit import Recovered
from engine.log.local.floor import Floor
from engine.log.local.format import commits_and_positions
from engine.log.local.segment_file import Place, SegmentFile, Stretch
from engine.log.local.walk import Tail, gap, walk
from engine.log.rows import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file, and what its name says of it. It is open where the database does not know all of it yet."""

    path: Path
    begin: Place
    opened: SegmentFile | None = None


class Gone:
    """Stands for a segment that has been deleted since: it and all before it are no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """As of one moment. What is behind `reached` is in no database yet."""

    segments: Sequence[Segment]
    reached: Place
    # What that database says.
    recovered: Recovered
    # The last commit that it knows, and where in its segment that lies.
    applied: tuple[int, int] = (0, 0)
    # What was acknowledged, and what retention has left.
    floor: Floor

    @property
    def known(self) -> Place:
        """Up to here the log is known to have been whole."""
        return max(self.reached, Place(self.floor.commit + 1, self.floor.position + 1))

    def pieces(self, position: int = 0) -> Iterator[tuple[Segment | None, SegmentFile | None, Stretch | Tail | Gone]]:
        """From the segment that holds `position` on. What is missing at the front is in no segment.

        What cannot be read ends where the knowledge of the database does: on this side no changes are lost with it.
        """
        for segment, file, piece in self._walked(position):
            if isinstance(piece, Stretch) and piece.body is None:
                yield from ((segment, file, part) for part in _cut_at(piece, self.reached))
            else:
                yield segment, file, piece

    def _walked(self, position: int) -> Iterator[tuple[Segment | None, SegmentFile | None, Stretch | Tail | Gone]]:
        first = max(bisect_right(self.segments, position, key=lambda segment: segment.begin.position) - 1, 0)
        missing = self._missing_at_front() if first == 0 else None
        if missing is not None:
            yield None, None, missing
        for i, segment in enumerate(self.segments[first:], first + 1):
            after = self.segments[i].begin if i < len(self.segments) else None
            with ExitStack() as stack:
                try:
                    file = segment.opened or stack.enter_context(SegmentFile(segment.path, self.applied))
                except FileNotFoundError:
                    yield None, None, Gone()
                    continue
                for piece in walk(file, segment.begin, after, self.known):
                    yield segment, file, piece

    def _missing_at_front(self) -> Stretch | None:
        """What retention has left and no segment holds."""
        before = Place(self.floor.oldest_commit, self.floor.oldest_position)
        # A partition has one from its making on: without any, nobody can say that there was nothing in it.
        at_least = max(self.known, Place(before.commit + 1, before.position))
        after = self.segments[0].begin if self.segments else at_least
        return gap(0, before, 0, after) if before.commit < after.commit else None


def _cut_at(lost: Stretch, place: Place) -> list[Stretch]:
    """In two where the place is inside."""
    before, after = lost.before, lost.after
    if not (before.commit < place.commit < after.commit and before.position <= place.position <= after.position):
        return [lost]
    return [replace(lost, after=place, is_unknown=False), replace(lost, before=place)]


def floor_as_it_is(folder: Path) -> Floor:
    """Where nothing says any more what was acknowledged: what is there."""
    found = commits_and_positions(iter(os.listdir(folder)))
    return Floor(oldest_commit=found[0][0], oldest_position=found[0][1]) if found else Floor()


def look_at(folder: Path, db: sqlite3.Connection, floor: Callable[[], Floor], stack: ExitStack) -> Look:
    """`stack` closes what is opened here; `floor` reads the one beside the folder.

    An engine deletes a segment once its database knows all of it. Where one that was not known then is gone, the
    engine has gone on, and we look again, until nothing moves.
    """
    before: object = None
    while True:
        with ExitStack() as opened:
            db.execute("BEGIN")
            with ExitStack() as moment:
                moment.callback(db.execute, "ROLLBACK")
                meta = tables.meta_of(db)
                applied = meta.get("applied_commit", 0), meta.get("applied_offset", 0)
                reached = Place(meta.get("applied_commit", 0) + 1, meta.get("last_position", 0) + 1)
                recovered = tables.read_recovered(db, last_position=reached.position - 1, oldest_position=1)
                # Before the segments: what it says of their end is in them, and later what it says of their beginning.
                acknowledged = floor()
                found = commits_and_positions(iter(os.listdir(folder)))
            moved, before = before != (reached, found), (reached, found)
            try:
                segments = _opened(folder, found, applied, opened)
            except FileNotFoundError:
                if moved:
                    continue
                raise
            if moved and found and found[0][0] > min(reached.commit, acknowledged.oldest_commit):
                continue
            stack.push(opened.pop_all())
            recovered.oldest_position = acknowledged.oldest_position
            return Look(segments=segments, reached=reached, recovered=recovered, applied=applied, floor=acknowledged)


def _opened(
    folder: Path, found: Sequence[tuple[int, int, str]], applied: tuple[int, int], stack: ExitStack
) -> list[Segment]:
    segments = []
    for i, (commit, position, name) in enumerate(found):
        known = i + 1 < len(found) and found[i + 1][0] <= applied[0] + 1
        file = None if known else stack.enter_context(SegmentFile(folder / name, applied))
        segments.append(Segment(path=folder / name, begin=Place(commit, position), opened=file))
    return segments
