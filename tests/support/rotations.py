"""Writers of logs and the ways in which their files are rotated."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path


class LogWriter:
    """Writes numbered lines into `path`, and rotates it in one of its ways. `shown` is what a reader follows."""

    def __init__(self, folder: Path, way: str, seed: int) -> None:
        self._random = random.Random(seed)
        self.way = way
        self._turns = itertools.count(1)
        self.written = 0
        self._folder = folder
        folder.mkdir()
        self.path = folder / "app.log"
        self.shown = self.path
        if way == "pods":
            self.path = folder / "pod" / "0.log"
            self.path.parent.mkdir()
            self.shown.symlink_to(self.path)
        self._file = self._opened()

    def _opened(self) -> io.FileIO:
        # A writer that does not append goes on at its old place when its file is truncated.
        return self.path.open("wb" if self.way == "hole" else "ab", buffering=0)

    def write(self, count: int) -> None:
        for _ in range(count):
            filling = "x" * self._random.randrange(60)
            self._file.write(f"line {self.written} of {self.way} {filling}\n".encode())
            self.written += 1

    def rotate(self) -> None:
        ways: dict[str, Callable[[int], None]] = {
            "numbers": self._shift,
            "numbers packed": self._shift_and_pack,
            "date behind": lambda turn: self._rename(self.path.with_name(f"app.log-{20240000 + turn}")),
            "date in front": lambda turn: self._rename(self.path.with_name(f"app.2024-01-31_10-{turn:06}.log")),
            "date, packed later": self._rename_and_pack_older,
            "copytruncate": self._copy_and_truncate,
            "hole": self._copy_and_truncate,
            "pods": self._as_kubelet,
        }
        ways[self.way](next(self._turns))

    def _rename(self, to: Path) -> None:
        self.path.rename(to)
        self._reopen()

    def _reopen(self) -> None:
        self._file.close()
        self._file = self._opened()

    def _shift_files(self, suffix: str = "") -> None:
        last = next(n for n in itertools.count(1) if not self.path.with_name(f"app.log.{n}{suffix}").exists())
        for number in range(last - 1, 0, -1):
            old = self.path.with_name(f"app.log.{number}{suffix}")
            old.rename(self.path.with_name(f"app.log.{number + 1}{suffix}"))

    def _shift(self, turn: int) -> None:
        self._shift_files()
        self._rename(self.path.with_name("app.log.1"))

    def _shift_and_pack(self, turn: int) -> None:
        self._shift_files(".gz")
        rotated = self.path.with_name("app.log.1")
        self._rename(rotated)
        _pack(rotated)

    def _rename_and_pack_older(self, turn: int) -> None:
        older = self.path.with_name(f"app.log-{20240000 + turn - 1}")
        if older.exists():
            _pack(older)
        self._rename(self.path.with_name(f"app.log-{20240000 + turn}"))

    def _copy_and_truncate(self, turn: int) -> None:
        self._shift_files()
        shutil.copy(self.path, self.path.with_name("app.log.1"))
        os.truncate(self.path, 0)

    def _as_kubelet(self, turn: int) -> None:
        """Mostly a rotation of the container's log; at times the container is another one, and the link with it."""
        if self._random.random() < 0.7:
            older = sorted(self.path.parent.glob(f"{self.path.name}.2024*"))
            rotated = self.path.with_name(f"{self.path.name}.{20240131_000000 + turn}")
            self._rename(rotated)
            for file in older:
                if file.suffix != ".gz":
                    _pack(file)
            return
        self.path = self.path.with_name(f"{int(self.path.stem) + 1}.log")
        self._reopen()
        link = self._folder / "new"
        link.symlink_to(self.path)
        link.rename(self.shown)

    def close(self) -> None:
        self._file.close()


def _pack(path: Path) -> None:
    """As gzip does: the time of the file is kept."""
    times = path.stat()
    packed = path.with_name(path.name + ".gz")
    with path.open("rb") as plain, gzip.open(path.with_name(path.name + ".part"), "wb") as file:
        shutil.copyfileobj(plain, file)
    os.utime(path.with_name(path.name + ".part"), ns=(times.st_atime_ns, times.st_mtime_ns))
    path.with_name(path.name + ".part").rename(packed)
    path.unlink()


WAYS = (
    "numbers",
    "numbers packed",
    "date behind",
    "date in front",
    "date, packed later",
    "copytruncate",
    "hole",
    "pods",
)
