"""Where a log went: its file is told by inode and content, wherever rotation has put it and however it calls it."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec

from engine.core.errors import PenstockError
from engine.sources.file_shape import opened_stream
from engine.sources.packings import HEAD_BYTES, Packing, packing_of

# So much of a file's beginning, and of what stands in front of a place, tells it from others.
TOLD_BY_BYTES = 256
# Less of it may well be the same in another file.
_TELLING_BYTES = 16
# What rotation puts behind a name or in front of its suffix: .1, -20240131, .2024-01-31_10-00-00, and .old.
_TURN = re.compile(r"[.\-_]\d[\dTZ.:_+\-]*|\.old")
_PACKED = re.compile(r"\.(gz|zst|zstd|bz2|xz)$")
# Since when a file is as it is, its number or 0, its path: of two files the greater one was written later.
_Age = tuple[int, int, str]
# How often a folder is looked at whose names change meanwhile.
_LOOKS = 20
# In front of a suffix a small number may as well name another log.
_DATE_DIGITS = 6


class Place(msgspec.Struct, frozen=True):
    """Where the next line begins: in which file, at which byte. The cursor, as JSON.

    An inode alone does not tell a file, for the system gives its number out again, and copies have others: `head` and
    `tail` are CRC-32 of its first bytes and of those in front of `byte`. Bytes are those of the text, unpacked.
    """

    inode: int
    byte: int
    head_bytes: int
    head: int
    tail_bytes: int = 0
    tail: int = 0
    # Bytes of UTF-8 behind `byte`, where the text is decoded.
    passed: int = 0
    # The file's own name, and when it had been written to.
    path: str = ""
    written_ns: int = 0

    @property
    def is_telling(self) -> bool:
        """Whether its content alone tells the file from others."""
        return self.head_bytes >= _TELLING_BYTES and self.tail_bytes >= min(_TELLING_BYTES, self.byte)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be what is looked for. Whoever gets it closes it."""

    path: Path
    file: io.FileIO
    packing: Packing | None


def opened(path: Path) -> Found:
    """Raises `OSError`."""
    file = path.open("rb", buffering=0)
    return Found(path, file, packing_of(os.pread(file.fileno(), HEAD_BYTES, 0)))


def find(place: Place, path: Path) -> Found | None:
    """The file that goes on at `place`: the very same, else a copy of it that does (`copytruncate`, gzip)."""
    for _ in range(_LOOKS):
        before = _names(path, place)
        found = _find(place, path)
        # What got another name during the look may have hidden from it.
        if found is not None or before == _names(path, place):
            return found
    return None


def rotated_after(place: Place, path: Path, now: Path | None) -> Found | None:
    """What was written behind the file that was read up to `place`, and rotated since: the oldest of it.

    `now` is where that file is now, which tells how its rotation names files. A copy of it is none.
    """
    found: Found | None = None
    for _ in range(_LOOKS):
        before = _names(path, place)
        if found is not None:
            found.file.close()
        found = _rotated_after(place, path, now)
        # Of what got another name during the look an older one may have hidden from it.
        if before == _names(path, place):
            break
    return found


def _names(path: Path, place: Place) -> set[tuple[str, int]]:
    """The files that rotation may give other names to."""
    stem, _ = os.path.splitext(Path(place.path).name or path.name)
    names: set[tuple[str, int]] = set()
    for folder in {path.parent, _real(path).parent, Path(place.path).parent}:
        try:
            with os.scandir(folder) as entries:
                names |= {
                    (entry.path, entry.inode()) for entry in entries if entry.name.startswith(stem) or path.is_symlink()
                }
        except OSError:
            continue
    return names


def _find(place: Place, path: Path) -> Found | None:
    own = Path(place.path) if place.path else path
    candidates = [path, own, *beside(path), *beside(own)]
    copies: list[Path] = []
    for candidate in dict.fromkeys(map(_real, candidates)):
        try:
            found = opened(candidate)
        except OSError:
            continue
        if os.fstat(found.file.fileno()).st_ino == place.inode:
            likely = place.head_bytes >= _TELLING_BYTES or candidate in (_real(path), _real(own))
            if (likely or turn_of(candidate.name, own.name) is not None) and holds(found, place):
                return found
        elif place.is_telling:
            copies.append(candidate)
        found.file.close()
    # Plain ones first, and of those the longest: they say more.
    for candidate in sorted(copies, key=lambda path: (_PACKED.search(path.name) is not None, -_size(path))):
        try:
            found = opened(candidate)
        except OSError:
            continue
        if holds(found, place):
            return found
        found.file.close()
    return None


def holds(found: Found, place: Place) -> bool:
    """Whether the file begins as the one of `place` does, and has the same in front of it."""
    head = content(found, 0, place.head_bytes)
    if len(head) < place.head_bytes or crc32(head) != place.head:
        return False
    if found.packing is None and os.fstat(found.file.fileno()).st_size < place.byte:
        return False
    tail = content(found, place.byte - place.tail_bytes, place.tail_bytes)
    return len(tail) == place.tail_bytes and crc32(tail) == place.tail


def content(found: Found, at: int, count: int) -> bytes:
    """Up to `count` bytes of the text from byte `at` on; fewer where it ends."""
    if found.packing is None:
        return os.pread(found.file.fileno(), count, at)
    text = b""
    try:
        stream = opened_stream(found.file, found.packing, (0, at))
        while len(text) < count and (block := stream.read()):
            text += block
    except (PenstockError, OSError):
        pass
    return text[:count]


def place_in(cursor: bytes | None) -> Place | None:
    """The place in the cursor of a followed file."""
    return None if cursor is None else msgspec.json.decode(cursor, type=Place)


def begins_as(path: Path, copy: Found) -> bool:
    """Whether all of `copy` is the beginning of the file at `path`."""
    size = os.fstat(copy.file.fileno()).st_size
    try:
        found = opened(path)
    except OSError:
        return False
    try:
        behind = max(0, size - TOLD_BY_BYTES)
        return 0 < size <= os.fstat(found.file.fileno()).st_size and all(
            content(copy, at, count) == content(found, at, count)
            for at, count in ((0, min(size, TOLD_BY_BYTES)), (behind, size - behind))
        )
    finally:
        found.file.close()


def is_rotated_from(path: Path, log: Path) -> bool:
    """Whether the name says that rotation has made this file of that log.

    A small number in front of a suffix does not: it may as well name another log.
    """
    turn = turn_of(path.name, log.name)
    if turn is None or path == log:
        return False
    if not _PACKED.sub("", path.name).startswith(log.name) and sum(map(str.isdigit, turn)) < _DATE_DIGITS:
        return False
    return path.parent == log.parent or _real(path.parent) in (_real(log.parent), _real(log).parent)


def beside(path: Path) -> Iterator[Path]:
    """All files in the folder of `path`, and in that of the file it is a link to."""
    for folder in dict.fromkeys((path.parent, _real(path).parent)):
        try:
            with os.scandir(folder) as entries:
                yield from (Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False))
        except OSError:
            # Gone with all that was in it.
            continue


def turn_of(name: str, log_name: str) -> str | None:
    """What rotation has put into the name of a log; None for a name that it did not make."""
    name = _PACKED.sub("", name)
    if name.startswith(log_name) and _TURN.fullmatch(turn := name[len(log_name) :]):
        return turn
    stem, suffix = os.path.splitext(log_name)
    if suffix and name.startswith(stem) and name.endswith(suffix) and len(name) > len(log_name):
        turn = name[len(stem) : len(name) - len(suffix)]
        if _TURN.fullmatch(turn):
            return turn
    return None


def _rotated_after(place: Place, path: Path, now: Path | None) -> Found | None:
    own = Path(place.path) if place.path else _real(path)
    numbers_in_front = now is not None and not now.name.startswith(own.name)
    current = _inode(path)
    files = list(dict.fromkeys((*beside(path), *beside(own))))
    # A link leads from one file to the next of a row: 0.log, 1.log, and each may be rotated.
    row = [file.name for file in files if path.is_symlink() and _form(file.name) == _form(own.name)]
    # By age: when it was written to, then what its name says, for clocks of file systems are coarse.
    left_behind: _Age | None = None
    later: list[tuple[_Age, int]] = []
    for candidate in files:
        turn = next((turn for name in (own.name, *row) if (turn := turn_of(candidate.name, name)) is not None), None)
        if turn is None and candidate.name not in row:
            continue
        turn = turn or ""
        is_behind = any(_PACKED.sub("", candidate.name).startswith(name) for name in (own.name, *row))
        if not is_behind and not numbers_in_front and sum(map(str.isdigit, turn)) < _DATE_DIGITS:
            continue
        try:
            found = candidate.stat()
        except OSError:
            continue
        # Of two that were written in the same moment the higher number is the older one; a later date is the later.
        digits = "".join(filter(str.isdigit, turn))
        rank = -int(digits) if 0 < len(digits) < _DATE_DIGITS else 0
        age = found.st_mtime_ns, rank, str(candidate)
        if found.st_ino == place.inode:
            left_behind = age if found.st_mtime_ns == place.written_ns else None
        elif found.st_mtime_ns >= place.written_ns and found.st_ino != current:
            later.append((age, found.st_ino))
    for age, inode in sorted(later):
        if left_behind is not None and age < left_behind:
            continue
        name = age[-1]
        try:
            following = opened(Path(name))
        except OSError:
            return None
        if os.fstat(following.file.fileno()).st_ino != inode:
            # It has another name by now.
            following.file.close()
            return None
        if not (place.is_telling and holds(following, place)):
            return following
        following.file.close()
    return None


def _form(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _inode(path: Path) -> int | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino if stat.S_ISREG(found.st_mode) else None
