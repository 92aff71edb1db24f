"""Files that are full: put away under a number, compressed, thrown away when there are enough of them."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import SettingError

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a file is full, and what becomes of it."""

    size_bytes: int
    gzip: bool = False
    # How many closed files stay; None keeps all.
    keep: int | None = None

    def __post_init__(self) -> None:
        if self.size_bytes < 1:
            raise SettingError("size", "must be greater than 0", self.size_bytes)
        if self.keep is not None and self.keep < 1:
            raise SettingError("keep", "must be at least 1", self.keep)


class RotatedFiles:
    """The closed files of one path: `delays.ndjson` was `delays.000001.ndjson`, `delays.000002.ndjson.gz` …

    A closed file is complete under its name or not there: names change last, and folders are synced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = re.compile(rf"{re.escape(path.stem)}\.(\d{{6,}}){re.escape(path.suffix)}(\.gz)?")

    def last_number(self) -> int:
        """The highest number that is taken; 0 without any."""
        return max((number for number, _ in self._found()), default=0)

    def put_away(self, number: int, rotation: Rotation) -> None:
        """Closes the present file under `number`."""
        target = self._closed(number)
        if rotation.gzip:
            packed = target.with_name(f"{target.name}.gz")
            self._copy_packed(packed)
            self._path.unlink()
        else:
            os.replace(self._path, target)
        sync_folder(self._path.parent)
        if rotation.keep is not None:
            for found, path in self._found():
                if found <= number - rotation.keep:
                    path.unlink(missing_ok=True)

    def reopen(self, number: int) -> None:
        """Makes the file of this number the present one again; whatever was written after it was not acknowledged."""
        closed = [path for found, path in self._found() if found == number]
        for found, path in self._found():
            if found > number:
                path.unlink()
        plain = next((path for path in closed if path.suffix != ".gz"), None)
        if plain is not None:
            os.replace(plain, self._path)
        elif closed:
            with gzip.open(closed[0], "rb") as packed:
                self._write(self._path, packed)
        for path in closed:
            path.unlink(missing_ok=True)
        if closed:
            sync_folder(self._path.parent)

    def _found(self) -> Iterator[tuple[int, Path]]:
        for path in sorted(self._path.parent.iterdir()):
            match = self._name.fullmatch(path.name)
            if match is not None:
                yield int(match[1]), path

    def _closed(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number:06d}{self._path.suffix}")

    def _copy_packed(self, packed: Path) -> None:
        being_written = packed.with_name(f"{packed.name}.tmp")
        with self._path.open("rb") as plain, being_written.open("wb") as file:
            # Without name and time in it, so that the same lines make the same file.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as out:
                shutil.copyfileobj(plain, out, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        os.replace(being_written, packed)
        sync_folder(packed.parent)

    @staticmethod
    def _write(path: Path, content: gzip.GzipFile) -> None:
        being_written = path.with_name(f"{path.name}.tmp")
        with being_written.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        os.replace(being_written, path)


def sync_folder(folder: Path) -> None:
    """Makes names as durable as contents."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
