"""Keeps the history beside the log, so that the page can tell what was before a restart or a crash.

Rows go to the end of a file as they come; when it holds a whole history, it becomes the older one and another begins.
So two files hold between one and two histories, and no file grows beyond its bound. A row that was torn by a crash ends
the file. Throttling episodes are one file that is replaced whole. All of it may be lost: it is for looking at.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from exporter.door import NS_PER_SECOND, Episode
from exporter.history.fields import PARTITION_FIELDS, VERTEX_FIELDS, Value

FOLDER = "history"
_ROWS_MAX = 900
# What is older helps nobody, and would make the minutes before it a sliver of the chart.
_AGE_MAX_NS = 3600 * NS_PER_SECOND
_BYTES_MAX = 8 * 1024 * 1024
EPISODES_MAX = 500
_HEAD_BYTES = 8
_log = logging.getLogger("penstock.management")


@dataclass(frozen=True, slots=True)
class Row:
    """One sample: when, and the values of each partition and each vertex, in the order of their fields."""

    wall_ns: int
    partitions: Mapping[int, Sequence[Value]]
    vertices: Mapping[str, Sequence[Value]]


@dataclass(frozen=True, slots=True)
class _Head:
    """What a file holds. Of another pipeline, or with other fields, it is none of ours."""

    pipeline: str
    partition_fields: tuple[str, ...]
    vertex_fields: tuple[str, ...]


class Keeping:
    """The files of one pipeline in its data folder. One thread; nothing is raised: what cannot be kept is not."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._file: BinaryIO | None = None
        self._rows = self._bytes = 0
        self._has_failed = False
        self._episodes: tuple[Episode, ...] = ()

    def read(self, pipeline: str, *, wall_ns: int) -> list[Row]:
        """The rows of earlier runs within an hour before now, oldest first; of each moment one."""
        rows = [row for name in ("older", "newer") for row in self._read(self._folder / f"{name}.rows", pipeline)]
        rising: list[Row] = []
        for row in rows:
            is_recent = wall_ns - _AGE_MAX_NS < row.wall_ns < wall_ns
            if is_recent and (not rising or row.wall_ns > rising[-1].wall_ns):
                rising.append(row)
        return rising[-_ROWS_MAX:]

    def read_episodes(self) -> tuple[Episode, ...]:
        """Those of earlier runs, by start."""
        try:
            kept = msgspec.json.decode((self._folder / "episodes.json").read_bytes(), type=tuple[Episode, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("throttling episodes of earlier runs cannot be read: %s", error)
            return ()
        return kept[-EPISODES_MAX:]

    def append(self, pipeline: str, row: Row) -> None:
        """Puts a row behind the others. Only for who holds the data folder."""
        try:
            if self._file is None or self._rows >= _ROWS_MAX or self._bytes >= _BYTES_MAX:
                self._begin(pipeline)
            assert self._file is not None
            self._write(self._file, msgspec.msgpack.encode(row))
            self._rows += 1
        except OSError as error:
            self._failed(error)

    def keep_episodes(self, episodes: Iterable[Episode]) -> None:
        """Replaces what is kept of episodes, where it is something else."""
        newest = tuple(episodes)[-EPISODES_MAX:]
        if newest == self._episodes:
            return
        try:
            self._folder.mkdir(exist_ok=True)
            written = self._folder / "episodes.tmp"
            written.write_bytes(msgspec.json.encode(newest))
            written.replace(self._folder / "episodes.json")
            self._episodes = newest
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, pipeline: str) -> None:
        self.close()
        self._folder.mkdir(exist_ok=True)
        newer = self._folder / "newer.rows"
        if newer.exists():
            newer.replace(self._folder / "older.rows")
        self._rows = self._bytes = 0
        # Without a buffer: what was written is there when the process is killed.
        self._file = newer.open("wb", buffering=0)
        self._write(self._file, msgspec.msgpack.encode(_head(pipeline)))

    def _write(self, file: BinaryIO, body: bytes) -> None:
        frame = len(body).to_bytes(4) + zlib.crc32(body).to_bytes(4) + body
        file.write(frame)
        self._bytes += len(frame)

    def _failed(self, error: OSError) -> None:
        # Once: it would be the same each second.
        if not self._has_failed:
            _log.warning("the history is not kept over a restart: %s", error)
        self._has_failed = True
        self.close()

    @staticmethod
    def _read(path: Path, pipeline: str) -> Iterator[Row]:
        try:
            frames = _frames(path.read_bytes()[: 2 * _BYTES_MAX])
        except OSError:
            return
        try:
            head = msgspec.msgpack.decode(next(frames, b"\xc0"), type=_Head | None)
            if head == _head(pipeline):
                for frame in frames:
                    yield msgspec.msgpack.decode(frame, type=Row)
        except msgspec.DecodeError as error:
            _log.warning("%s is not read: %s", path, error)


def _head(pipeline: str) -> _Head:
    return _Head(
        pipeline,
        tuple(field.name for field in PARTITION_FIELDS),
        tuple(field.name for field in VERTEX_FIELDS),
    )


def _frames(text: bytes) -> Iterator[bytes]:
    """The frames that are whole, up to the first that is not."""
    place = 0
    while place + _HEAD_BYTES <= len(text):
        length = int.from_bytes(text[place : place + 4])
        body = text[place + _HEAD_BYTES : place + _HEAD_BYTES + length]
        if len(body) < length or zlib.crc32(body).to_bytes(4) != text[place + 4 : place + _HEAD_BYTES]:
            return
        yield body
        place += _HEAD_BYTES + length
