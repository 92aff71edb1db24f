"""All files of a pattern, one after the other, each to its end: `exports/2024-*.csv.gz`."""

from __future__ import annotations

import glob
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec

from engine.core.errors import ConfigurationError, DamagedInputError
from engine.core.snapshot import InputSnapshot
from engine.sources.file_shape import check_file
from engine.sources.protocol import Room, Source, SourceBatch, SourceStart, SplitStart, input_of

log = logging.getLogger("penstock.source")

# So much of a file's beginning tells it from others; less of it may well be the same in another.
_TOLD_BY_BYTES = 256
_TELLING_BYTES = 16


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """The cursor of a split: which file it is, and how far it was read."""

    path: str
    inode: int
    head_bytes: int
    head: int
    # When it was opened.
    size: int
    # Whether that was all there was.
    is_done: bool = False
    cursor: bytes | None = None


@dataclass(slots=True)
class _File:
    """The file in hand, read one batch ahead, so that its last batch can say that it is the last."""

    split: str
    source: Source
    kept: _Kept
    offset: int
    ahead: SourceBatch | None = None


class ManyFiles:
    """Reads every file that matches, by name, and ends when none is left; each is a split of its own.

    - A file is known again by its inode and its first bytes, under whatever name; one that was moved to another disk by
      these bytes alone, where it is not at its old place. One that has grown is read on where it ended. One with
      other content is another file, also under a name that was there before.
    - Files that come while others are read are read as well. One that is gone before its turn is passed over with a
      word in the log.
    - A damaged file keeps none of the others from being read; then `DamagedInputError` is raised.
    """

    prompt = True
    of_this_machine = True

    def __init__(self, pattern: str, made: Callable[[Path], Source]) -> None:
        """`made` gives the source of one file."""
        self._pattern = pattern
        self._made = made
        self._begin({})

    def _begin(self, starts: Mapping[str, SplitStart]) -> None:
        self._starts = dict(starts)
        self._known = {split: _decoded(start.newest) for split, start in starts.items()}
        # Known ones that were found in this run.
        self._found: set[str] = set()
        # Files that were looked at in this run.
        self._seen: set[tuple[str, int]] = set()
        self._waiting: deque[tuple[Path, os.stat_result]] = deque()
        self._file: _File | None = None
        self._damage: DamagedInputError | None = None
        self._passed_bytes = self._size_bytes = 0

    def describe(self) -> str:
        return f"{self._pattern}, all files of that name"

    def check(self) -> None:
        paths = [*matching(self._pattern)]
        if not paths:
            raise ConfigurationError(f"{self._pattern}: there is no file of such a name")
        for path in paths:
            self._made(path).check()

    def open_splits(self, starts: Mapping[str, SplitStart]) -> None:
        self._begin(starts)

    def open(self, start: SourceStart) -> None:
        """From the beginning: who knows of no splits has no place in them."""
        self.open_splits({})

    def read(self, max_values: int) -> SourceBatch | None:
        return self.read_split(lambda *_: max_values)

    def read_split(self, room: Room) -> SourceBatch | None:
        while self._file is None:
            self._file = self._next(room)
            if self._file is None:
                if self._damage is not None:
                    raise self._damage
                return None
            if self._file.ahead is None:
                self._leave(self._file)
        return self._taken(self._file, room)

    def close(self) -> None:
        if self._file is not None:
            self._file.source.close()
            self._file = None

    def input(self) -> InputSnapshot:
        file = self._file
        known = None if file is None else input_of(file.source)
        position = self._passed_bytes + (0 if known is None else known.position_bytes or 0)
        return InputSnapshot(position_bytes=position, size_bytes=max(position, self._size_bytes))

    # -- one after the other ---

    def _next(self, room: Room) -> _File | None:
        while True:
            if not self._waiting:
                self._look()
            if not self._waiting:
                return None
            path, status = self._waiting.popleft()
            try:
                file = self._opened(path, status)
            except FileNotFoundError:
                log.warning("%s is gone before it was read", path)
                continue
            if file is not None:
                self._read_ahead(file, room)
                return file

    def _look(self) -> None:
        for path in matching(self._pattern):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if (place := (str(path), status.st_ino)) not in self._seen:
                self._seen.add(place)
                self._waiting.append((path, status))
                self._size_bytes += status.st_size

    def _opened(self, path: Path, status: os.stat_result) -> _File | None:
        """None for one that was read to its end."""
        with path.open("rb") as file:
            head = file.read(_TOLD_BY_BYTES)
        split = self._known_as(path, status, head)
        start = SourceStart(0, None)
        if split is None:
            split = self._new_name(path)
        else:
            stored = self._starts[split]
            # Of the partition that is furthest back.
            behind = None if not stored.offset or stored.cursor is None else _decoded(stored.cursor)
            if behind is not None and behind.is_done and behind.size == status.st_size:
                self._found.add(split)
                self._size_bytes -= status.st_size
                return None
            if behind is not None:
                start = SourceStart(stored.offset, behind.cursor)
        self._found.add(split)
        kept = _Kept(str(path), status.st_ino, len(head), crc32(head), status.st_size)
        self._known.setdefault(split, kept)
        check_file(path)
        source = self._made(path)
        source.open(start)
        return _File(split, source, kept, start.offset)

    def _known_as(self, path: Path, status: os.stat_result, head: bytes) -> str | None:
        """The split of a file that was seen before."""
        moved: str | None = None
        for split, known in self._known.items():
            if split in self._found or not _begins_as(head, known):
                continue
            if known.inode == status.st_ino or known.path == str(path):
                return split
            if known.head_bytes >= _TELLING_BYTES and status.st_size >= known.size and not _is_in_place(known):
                moved = split
        return moved

    def _new_name(self, path: Path) -> str:
        name = str(path)
        number = 2
        while name in self._known:
            name = f"{path} ({number})"
            number += 1
        return name

    # -- a batch ahead ---

    def _read_ahead(self, file: _File, room: Room) -> None:
        """Takes the next batch that holds anything; None where there is none."""
        file.ahead = None
        try:
            while (batch := file.source.read(room(file.split, file.offset))) is not None:
                file.offset = max(file.offset, batch.last_offset)
                if batch.values:
                    file.ahead = batch
                    return
        except DamagedInputError as error:
            log.error("%s", error)
            self._damage = self._damage or error

    def _taken(self, file: _File, room: Room) -> SourceBatch:
        batch = file.ahead
        assert batch is not None, "a file in hand has something to give"
        damage_before = self._damage
        self._read_ahead(file, room)
        is_done = file.ahead is None and self._damage is damage_before
        kept = msgspec.structs.replace(file.kept, is_done=is_done, cursor=batch.cursor)
        batch.cursor, batch.split = msgspec.msgpack.encode(kept), file.split
        if file.ahead is None:
            self._leave(file)
        return batch

    def _leave(self, file: _File) -> None:
        file.source.close()
        self._passed_bytes += file.kept.size
        self._file = None


def _begins_as(head: bytes, known: _Kept) -> bool:
    return len(head) >= known.head_bytes and crc32(head[: known.head_bytes]) == known.head


def _is_in_place(known: _Kept) -> bool:
    """Whether the file is still where it was seen."""
    try:
        with open(known.path, "rb") as file:
            return _begins_as(file.read(_TOLD_BY_BYTES), known)
    except OSError:
        return False


def _decoded(cursor: bytes) -> _Kept:
    return msgspec.msgpack.decode(cursor, type=_Kept)


def is_pattern(path: str) -> bool:
    """Whether it stands for many files; one that is really called so is one."""
    return glob.has_magic(path) and not os.path.exists(path)


def matching(pattern: str) -> Iterator[Path]:
    """The files of a pattern, by name."""
    for name in sorted(glob.glob(pattern, recursive=True)):
        if os.path.isfile(name):
            yield Path(name)
