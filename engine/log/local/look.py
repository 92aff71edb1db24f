"""What lies in a folder of segments at one moment: its files, its database, and how far that one has come."""

from __future__ import annotations

import os
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.core.unit import Recovered
from engine.log.local import tables
from engine.log.local.format import commits_and_positions
from engine.log.local.segment_file import Place, SegmentFile, Stretch
from engine.log.local.walk import Tail, gap, walk

STATE_NAME = "state.db"


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

    def pieces(self, position: int = 0) -> Iterator[tuple[Segment | None, SegmentFile | None, Stretch | Tail | Gone]]:
        """From the segment that holds `position` on. What is missing at the front is in no segment."""
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
                for piece in walk(file, segment.begin, after, self.reached):
                    yield segment, file, piece

    def _missing_at_front(self) -> Stretch | None:
        """What the database does not know and no segment holds; without a segment all that was not deleted."""
        if not self.segments:
            before, after = Place(self.reached.commit - 1, self.recovered.oldest_position), self.reached
            return gap(0, before, 0, after) if before.position < after.position else None
        after = self.segments[0].begin
        before = Place(self.reached.commit, min(self.reached.position, after.position))
        return gap(0, before, 0, after) if before.commit < after.commit else None


def look_at(folder: Path, db: sqlite3.Connection, stack: ExitStack) -> Look:
    """`stack` closes what is opened here.

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
                found = commits_and_positions(iter(os.listdir(folder)))
            moved, before = before != (reached, found), (reached, found)
            try:
                segments = _opened(folder, found, applied, opened)
            except FileNotFoundError:
                if moved:
                    continue
                raise
            if moved and found and found[0][0] > reached.commit:
                continue
            stack.push(opened.pop_all())
            # Deleting a file is what makes its positions go; the database is told later.
            first = min(segments[0].begin.position, reached.position) if segments else 1
            recovered.oldest_position = max(meta.get("oldest_position", 1), first)
            return Look(segments=segments, reached=reached, recovered=recovered, applied=applied)


def _opened(
    folder: Path, found: Sequence[tuple[int, int, str]], applied: tuple[int, int], stack: ExitStack
) -> list[Segment]:
    segments = []
    for i, (commit, position, name) in enumerate(found):
        known = i + 1 < len(found) and found[i + 1][0] <= applied[0] + 1
        file = None if known else stack.enter_context(SegmentFile(folder / name, applied))
        segments.append(Segment(path=folder / name, begin=Place(commit, position), opened=file))
    return segments
