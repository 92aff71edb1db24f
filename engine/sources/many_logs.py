"""All logs of a pattern, each followed without end: `/var/log/containers/*.log`."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError
from engine.core.snapshot import InputSnapshot
from engine.sources.followed_file import FollowedFile
from engine.sources.many_files import matching
from engine.sources.protocol import Room, Source, SourceBatch, SourceStart, SplitStart
from engine.sources.rotation import Place, begins_as, find, holds, is_rotated_from, opened, place_in

log = logging.getLogger("penstock.source")

# How often the folder is looked at.
_LOOK_NS = NS_PER_SECOND
# How long a log that had nothing is left alone: short at first.
_REST_MIN_NS = NS_PER_MS
_REST_MAX_NS = 200 * NS_PER_MS
# A log whose file was deleted is let go when nothing was written to it for so long.
_GONE_NS = 60 * NS_PER_SECOND

# Gives what reads a log, and the file that it follows inside of that.
Made = Callable[[Path], tuple[Source, FollowedFile]]


class LogCursor(Protocol):
    """What a source makes of the cursor of the file inside of it."""

    def wrapped(self, line: int, cursor: bytes) -> bytes: ...

    def unwrapped(self, cursor: bytes) -> bytes | None: ...


class PlainCursor:
    """The file's own."""

    def wrapped(self, line: int, cursor: bytes) -> bytes:
        return cursor

    def unwrapped(self, cursor: bytes) -> bytes | None:
        return cursor


@dataclass(slots=True)
class _Log:
    """One log that is followed."""

    path: Path
    source: Source
    file: FollowedFile
    offset: int
    cursor: bytes | None
    due_ns: int = 0
    rest_ns: int = _REST_MIN_NS
    gave_ns: int = 0


class ManyLogs:
    """Follows every log that matches, those included that come later; each is a split of its own, named by its path.

    Who is whose: a file that rotation has made of a log is read as a part of that log, whatever it is called, and never
    as one of its own, though the pattern may match it: told by inode, by its content, and by its name (`app.log.1`,
    `app-20240131.log` beside `app.log`). That such a file was read to its end is kept like the place in a log.
    """

    prompt = True
    of_this_machine = True

    def __init__(self, pattern: str, made: Made, cursors: LogCursor | None = None, clock: Clock | None = None) -> None:
        self._pattern = pattern
        self._made = made
        self._cursors = cursors or PlainCursor()
        self._clock = clock or SystemClock()
        self._begin({})

    def _begin(self, starts: Mapping[str, SplitStart]) -> None:
        # By path; and the places of those that are not there now.
        self._logs: dict[str, _Log] = {}
        self._known = dict(starts)
        self._turn: deque[str] = deque()
        self._marks: deque[SourceBatch] = deque()
        # Paths that stood there at the last look and were not followed.
        self._new: set[str] = set()
        # Paths of what cannot be followed, and was said.
        self._refused: set[str] = set()
        self._look_ns = 0
        self._is_first_look = True

    def describe(self) -> str:
        return f"{self._pattern}, all logs of that name, followed"

    def check(self) -> None:
        folder = Path(os.path.dirname(self._pattern) or ".")
        if not any(sign in str(folder) for sign in "*?[") and not folder.is_dir():
            raise ConfigurationError(f"{folder}: no such folder")
        paths = [*matching(self._pattern)]
        logs = [path for path in paths if not any(is_rotated_from(path, other) for other in paths)]
        for path in logs:
            self._made(path)[0].check()

    def open_splits(self, starts: Mapping[str, SplitStart]) -> None:
        self._begin(starts)
        for name, start in starts.items():
            if start.offset and self._is_there(Path(name), start):
                self._follow(Path(name))

    def open(self, start: SourceStart) -> None:
        """From the beginning: who knows of no splits has no place in them."""
        self.open_splits({})

    def read(self, max_values: int) -> SourceBatch | None:
        return self.read_split(lambda *_: max_values)

    def read_split(self, room: Room) -> SourceBatch | None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._look_ns:
            self._look(now_ns)
            self._look_ns = now_ns + _LOOK_NS
        if self._marks:
            return self._marks.popleft()
        for _ in range(len(self._turn)):
            self._turn.rotate(-1)
            name = self._turn[-1]
            one = self._logs[name]
            if one.due_ns > now_ns:
                continue
            batch = one.source.read(room(name, one.offset))
            if batch is not None and batch.values:
                one.offset, one.cursor, one.gave_ns = batch.last_offset, batch.cursor, now_ns
                one.due_ns, one.rest_ns = 0, _REST_MIN_NS
                batch.split = name
                return batch
            one.due_ns, one.rest_ns = now_ns + one.rest_ns, min(_REST_MAX_NS, 2 * one.rest_ns)
        return SourceBatch(1, [])

    def close(self) -> None:
        for one in self._logs.values():
            one.source.close()
        self._logs.clear()
        self._turn.clear()

    def input(self) -> InputSnapshot:
        known = [one.file.input() for one in list(self._logs.values())]
        return InputSnapshot(
            position_bytes=sum(one.position_bytes or 0 for one in known),
            lag_bytes=sum(one.lag_bytes or 0 for one in known),
        )

    # -- who is there ---

    def _look(self, now_ns: int) -> None:
        for name, one in list(self._logs.items()):
            if one.file.is_deleted and now_ns - one.gave_ns >= _GONE_NS:
                self._let_go(name, one)
        before, self._new = self._new, set()
        for path in matching(self._pattern):
            if str(path) not in self._logs and self._is_of_its_own(path):
                # Twice in a row, for a log may be about to be rotated, and who follows it to notice.
                if self._is_first_look or str(path) in before or str(path) in self._known:
                    self._join(path)
                else:
                    self._new.add(str(path))
        self._is_first_look = False

    def _is_of_its_own(self, path: Path) -> bool:
        """Whether a file is no part of a log that is followed already."""
        if any(is_rotated_from(path, Path(name)) for name in (*self._logs, *self._known)):
            return False
        try:
            found = opened(path)
        except OSError:
            return False
        try:
            inode = os.fstat(found.file.fileno()).st_ino
            if found.packing is not None or any(one.file.inode == inode for one in self._logs.values()):
                return False
            for one in self._logs.values():
                place = one.file.left.get(inode)
                if place is not None and holds(found, place):
                    self._mark_as_read(path, place)
                    return False
            return not any(
                path.name.startswith(one.path.stem) and one.path.parent == path.parent and begins_as(one.path, found)
                for one in self._logs.values()
            )
        finally:
            found.file.close()

    def _is_there(self, path: Path, start: SourceStart) -> bool:
        if path.exists():
            return True
        place = None if start.cursor is None else place_in(self._cursors.unwrapped(start.cursor))
        found = None if place is None else find(place, path)
        if found is None:
            return False
        found.file.close()
        return True

    def _join(self, path: Path) -> None:
        """Follows one more; what cannot be followed keeps none of the others from it."""
        try:
            self._follow(path)
        except ConfigurationError as error:
            if str(path) not in self._refused:
                self._refused.add(str(path))
                log.error("%s; it is left out", error)

    def _follow(self, path: Path) -> None:
        known = self._known.get(str(path))
        start = SourceStart(0, None) if known is None or not known.offset else SourceStart(known.offset, known.cursor)
        self._open(path, start)
        if not self._is_first_look:
            log.info("%s is followed, too", path)

    def _open(self, path: Path, start: SourceStart) -> None:
        source, file = self._made(path)
        source.open(start)
        self._logs[str(path)] = _Log(path, source, file, start.offset, start.cursor, gave_ns=self._clock.monotonic_ns())
        self._turn.append(str(path))

    def _let_go(self, name: str, one: _Log) -> None:
        log.info("%s was deleted and gets no more; it is let go", name)
        one.source.close()
        del self._logs[name]
        self._turn.remove(name)
        if one.cursor is not None:
            self._known[name] = SplitStart(one.offset, one.cursor, one.cursor)

    def _mark_as_read(self, path: Path, place: Place) -> None:
        """A file that was read as a part of a log has a name of the pattern: kept as a log that begins at its end."""
        cursor = self._cursors.wrapped(1, msgspec.json.encode(msgspec.structs.replace(place, path=str(path))))
        self._open(path, SourceStart(1, cursor))
        self._marks.append(SourceBatch(2, [], cursor, split=str(path)))
