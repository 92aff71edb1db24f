"""Files that are full: put away under a number, compressed, thrown away when there are enough of them."""

from __future__ import annotations

import gzip
import logging
import os
import re
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import SettingError, TargetError
from engine.exporting.files import move_aside, reading, sync_folder, writing
from engine.exporting.own_lines import OwnLines

_log = logging.getLogger("penstock.jsonl")

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

    A closed file is complete under its name or not there, and nothing that stands under a name is ever overwritten:
    only a file's own packed copy takes its place. Where both are there, they hold the same.
    """

    def __init__(self, path: Path, own_lines: OwnLines) -> None:
        self._path = path
        self._own_lines = own_lines
        self._name = re.compile(rf"{re.escape(path.stem)}\.(\d{{6,}}){re.escape(path.suffix)}(\.gz)?")
        # Numbers of closed files that are still to be packed.
        self._to_pack: list[int] = []
        # What could not be tidied up, as it was last said.
        self._said: str | None = None

    def last_number(self) -> int:
        """The highest number that is taken; 0 without any."""
        return max((number for number, _ in self._found()), default=0)

    def put_away(self, number: int, file: int) -> None:
        """Gives the present file, whose descriptor is `file`, its number; `tidy` does the rest.

        Raises with the file where it was. Its name is not synced yet.
        """
        taken = [path for found, path in self._found() if found == number]
        if taken:
            raise TargetError(f"{taken[0]} stands where {self._path.name} is to be closed; move it away")
        target = self._closed(number)
        try:
            os.rename(self._path, target)
        except OSError:
            # Some file systems do it and fail.
            if not (os.path.exists(target) and os.path.samestat(os.stat(target), os.fstat(file))):
                raise
        self._to_pack.append(number)

    def tidy(self, last_number: int, rotation: Rotation) -> None:
        """Packs closed files, and deletes those that are too many.

        No record hangs on it: what cannot be done is said once, and tried again with the next file.
        """
        troubles: list[str] = []
        if not rotation.gzip:
            self._to_pack.clear()
        for number in [*self._to_pack]:
            try:
                self._pack(number)
                self._to_pack.remove(number)
            except OSError as error:
                troubles.append(f"{self._closed(number).name} is not packed ({error.strerror})")
        if rotation.keep is not None:
            troubles += self._thrown_away(last_number - rotation.keep)
        said = "; ".join(troubles) or None
        if said is not None and said != self._said:
            _log.warning("%s: %s; it is tried again with the next file", self._path, said)
        self._said = said

    def reopen(self, number: int) -> None:
        """Makes the file of this number the present one again: what follows it was not acknowledged."""
        found = sorted(self._found())
        for other, path in found:
            if other > number:
                self._give_up(path)
        closed = [path for other, path in found if other == number]
        if closed:
            if os.path.lexists(self._path):
                self._give_up(self._path)
            self._unpack(number, closed)
            os.rename(self._closed(number), self._path)
            sync_folder(self._path.parent)
        # A crash may have come before it was packed.
        self._to_pack = [number - 1] if os.path.isfile(self._closed(number - 1)) else []

    def _give_up(self, path: Path) -> None:
        """Deletes a file whose lines will all come again, and moves any other one aside."""
        try:
            with gzip.open(reading(path)) if path.suffix == ".gz" else reading(path) as lines:
                come_again = self._own_lines.come_again(lines)
        except FileNotFoundError:
            return
        except (IsADirectoryError, gzip.BadGzipFile, EOFError, zlib.error):
            come_again = False
        if come_again:
            os.unlink(path)
        else:
            _log.warning("%s holds what this log cannot give again; it is moved to %s", path, move_aside(path))

    def _found(self) -> list[tuple[int, Path]]:
        matches = (self._name.fullmatch(name) for name in sorted(os.listdir(self._path.parent)))
        return [(int(match[1]), self._path.with_name(match[0])) for match in matches if match is not None]

    def _closed(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number:06d}{self._path.suffix}")

    def _packed(self, number: int) -> Path:
        plain = self._closed(number)
        return plain.with_name(f"{plain.name}.gz")

    def _thrown_away(self, last_number: int) -> list[str]:
        """Deletes the closed files up to this number; which of them cannot be, and why."""
        troubles = []
        try:
            for number, path in self._found():
                if number <= last_number:
                    try:
                        os.unlink(path)
                    except FileNotFoundError:
                        pass
                    except OSError as error:
                        troubles.append(f"{path.name} cannot be deleted ({error.strerror})")
        except OSError as error:
            troubles.append(f"old files cannot be looked for ({error.strerror})")
        return troubles

    def _pack(self, number: int) -> None:
        plain, packed = self._closed(number), self._packed(number)
        try:
            source = reading(plain)
        except FileNotFoundError:
            # Somebody took it away.
            return
        being_written = packed.with_name(f"{packed.name}.tmp")
        with source, writing(being_written) as file:
            # Without name and time in it, so that the same lines make the same file.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as out:
                shutil.copyfileobj(source, out, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        os.rename(being_written, packed)
        sync_folder(packed.parent)
        os.unlink(plain)

    def _unpack(self, number: int, closed: list[Path]) -> None:
        """Leaves of the closed files of one number the plain one."""
        plain, packed = self._closed(number), self._packed(number)
        if plain not in closed:
            being_written = plain.with_name(f"{plain.name}.tmp")
            with gzip.open(reading(packed)) as content, writing(being_written) as file:
                shutil.copyfileobj(content, file, _CHUNK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            os.rename(being_written, plain)
            sync_folder(plain.parent)
        if packed in closed:
            os.unlink(packed)
