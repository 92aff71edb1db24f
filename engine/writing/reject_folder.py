"""The rejects of a data folder: counted, shown, dropped, and set out to be tried again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from engine.core.errors import ConfigurationError, DataFolderError
from engine.core.snapshot import RejectsSnapshot
from engine.writing.rejects import file_name, locked

_REPLAY = re.compile(r"(.+)\.replay-(\d{1,19})\.ndjson")


# Holds the place of one that was taken back: the others of a replay are counted by theirs.
_TAKEN_BACK = b"{}\n"

# Whether a reject will be set aside again: what it came from is not passed for good.
ComesAgain = Callable[[Mapping[str, Any]], bool]


class _Time(msgspec.Struct):
    task: str = ""
    wall_time_ns: int = msgspec.field(default=0, name="wallTimeNs")


@dataclass(slots=True)
class _Counted:
    """A file as far as it was counted."""

    inode: int
    size: int = 0
    lines: int = 0
    task: str = ""
    oldest_wall_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A file of rejects that is to be tried again, from its first line to its last."""

    path: Path
    # As in the name of the file.
    culprit: str
    # Rises from one replay of a culprit to the next.
    number: int


class RejectFolder:
    """`DATA/rejects`. Any thread may call; other processes may write, replay and drop at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        # Guarded by the lock.
        self._counted: dict[Path, _Counted] = {}
        self._decode_time = msgspec.json.Decoder(_Time).decode

    def counts(self) -> tuple[RejectsSnapshot, ...]:
        """How many there are of each culprit, those that are being replayed included.

        Where the folder cannot be looked at just now (no descriptor is left), as it was.
        """
        with self._lock:
            with suppress(OSError):
                self._counted = {path: self._count(path) for path in self._files()}
            by_task: dict[str, RejectsSnapshot] = {}
            for counted in self._counted.values():
                if not counted.lines:
                    continue
                known = by_task.get(counted.task, RejectsSnapshot(task=counted.task, count=0, oldest_wall_ns=None))
                times = [time for time in (known.oldest_wall_ns, counted.oldest_wall_ns) if time is not None]
                by_task[counted.task] = RejectsSnapshot(
                    task=counted.task, count=known.count + counted.lines, oldest_wall_ns=min(times, default=None)
                )
        return tuple(by_task.values())

    def lines(self, culprit: str) -> Iterator[dict[str, Any]]:
        """The rejects of a culprit, oldest first."""
        for path in self._of(culprit):
            yield from filter(None, _lines(path))

    def take_back(self, culprit: str, comes_again: ComesAgain) -> None:
        """Forgets those of a culprit that will be set aside again, so that each is kept once.

        For who begins, before it does: a crash has left them here and not what passes them in the log.
        """
        if not self.path.is_dir():
            return
        with locked(self.path):
            for path in self._files_of(culprit):
                is_replay = _REPLAY.fullmatch(path.name) is not None
                lines = path.read_bytes().splitlines(keepends=True)
                kept = [_TAKEN_BACK if _is_of(line, comes_again) else line for line in lines]
                if kept == lines:
                    continue
                if not is_replay:
                    kept = [line for line in kept if line != _TAKEN_BACK]
                if kept:
                    _rewrite(path, kept)
                else:
                    path.unlink()

    def replayed(self, replay: Replay) -> set[int]:
        """Which entries of a replay were set aside again already, by whatever task."""
        name = re.compile(rb'"replayed":"%b(\d+)"' % re.escape(replayed_name(replay).encode()))
        return {int(found) for path in self._files() for found in name.findall(path.read_bytes())}

    def drop(self, culprit: str) -> int:
        """Deletes them, and says how many they were."""
        with self._held():
            paths = self._of(culprit)
            count = sum(1 for path in paths for line in _lines(path) if line)
            for path in paths:
                os.unlink(path)
        return count

    def set_out(self, culprit: str, wall_ns: int) -> int:
        """Sets all of a culprit's rejects out to be tried again by whoever runs the pipeline; how many they are.

        What is rejected from now on, and again, is kept apart from them.
        """
        with self._held():
            paths = self._of(culprit)
            waiting = [path for path in paths if _REPLAY.fullmatch(path.name)]
            if waiting:
                raise ConfigurationError(f"the rejects of {culprit} are being replayed already: {waiting[0].name}")
            count = sum(1 for path in paths for _ in _lines(path))
            os.rename(paths[0], self.path / f"{file_name(culprit)}.replay-{wall_ns}.ndjson")
        return count

    def replays(self) -> list[Replay]:
        """What was set out, oldest first."""
        found = []
        for path in self._files():
            match = _REPLAY.fullmatch(path.name)
            if match is not None:
                found.append(Replay(path=path, culprit=match[1], number=int(match[2])))
        return sorted(found, key=lambda replay: replay.number)

    def entries(self, replay: Replay) -> list[dict[str, Any]]:
        """All of a replay, in its order, which stays what it is; one that was taken back is empty."""
        return list(_lines(replay.path))

    def done(self, replay: Replay) -> None:
        """All of it was tried again."""
        with self._held():
            replay.path.unlink(missing_ok=True)

    def _held(self) -> Any:
        if not self.path.is_dir():
            raise ConfigurationError(f"nothing was rejected: there is no folder {self.path}")
        return locked(self.path)

    def _files(self) -> list[Path]:
        try:
            return sorted(self.path / name for name in os.listdir(self.path) if name.endswith(".ndjson"))
        except FileNotFoundError:
            return []

    def _of(self, culprit: str) -> list[Path]:
        """The files of a culprit, those that are being replayed first. Raises `ConfigurationError` without any."""
        paths = self._files_of(culprit)
        if not paths:
            known = sorted({count.task for count in self.counts()})
            of = f"; there are some of {', '.join(known)}" if known else ""
            raise ConfigurationError(f"there are no rejects of {culprit!r}{of}")
        return paths

    def _files_of(self, culprit: str) -> list[Path]:
        name = file_name(culprit)
        paths = [path for path in self._files() if (m := _REPLAY.fullmatch(path.name)) and m[1] == name]
        if (fresh := self.path / f"{name}.ndjson").exists():
            paths.append(fresh)
        return paths

    def _count(self, path: Path) -> _Counted:
        there = os.stat(path)
        counted = self._counted.get(path)
        if counted is None or counted.inode != there.st_ino or counted.size > there.st_size:
            counted = _Counted(there.st_ino)
        if counted.size < there.st_size:
            with path.open("rb") as file:
                file.seek(counted.size)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    counted.size += len(line)
                    if line == _TAKEN_BACK:
                        continue
                    counted.lines += 1
                    if counted.lines == 1:
                        counted.task, counted.oldest_wall_ns = self._first(path, line)
        return counted

    def _first(self, path: Path, line: bytes) -> tuple[str, int | None]:
        try:
            time = self._decode_time(line)
        except msgspec.DecodeError:
            return path.stem, None
        return time.task or path.stem, time.wall_time_ns or None


def replayed_name(replay: Replay) -> str:
    """What the number of an entry stands behind, in a reject that it has become again."""
    return f"{replay.culprit}/{replay.number}/"


def _is_of(line: bytes, comes_again: ComesAgain) -> bool:
    try:
        entry = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return False
    return bool(entry) and comes_again(entry)


def _rewrite(path: Path, lines: list[bytes]) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                # A crash cut it short: it was not kept, and is not passed over either.
                return
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise DataFolderError(f"{path}, line {number} cannot be read: {error}") from None
