"""Disks that refuse, that stand still, and that die: what a log in files has to live with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from threading import Event

from engine.log.local.disk import Disk
from tests.support.logs import copy_log


class FaultyDisk(Disk):
    """Refuses calls by name, each as often as it is told to."""

    def __init__(self) -> None:
        # Error number of the next calls of that name; a write leaves half of its bytes behind.
        self.faults: dict[str, list[int]] = {}

    def _fail(self, call: str) -> None:
        if self.faults.get(call):
            number = self.faults[call].pop(0)
            raise OSError(number, os.strerror(number))

    def write(self, file: int, parts: Sequence[bytes], offset: int) -> None:
        if self.faults.get("write"):
            whole = b"".join(parts)
            super().write(file, [whole[: len(whole) // 2]], offset)
            self._fail("write")
        super().write(file, parts, offset)

    def lengthen(self, file: int, offset: int, length: int) -> None:
        self._fail("lengthen")
        super().lengthen(file, offset, length)

    def sync(self, file: int) -> None:
        self._fail("sync")
        super().sync(file)

    def cut(self, file: int, length: int) -> None:
        self._fail("cut")
        super().cut(file, length)

    def sync_folder(self, folder: Path) -> None:
        self._fail("sync_folder")
        super().sync_folder(folder)

    def remove(self, path: Path) -> None:
        self._fail("remove")
        super().remove(path)


class NotedDisk(Disk):
    """Says what it was asked to sync, in that order: files and folders, by the names they had then."""

    def __init__(self) -> None:
        self.synced: list[Path] = []

    def sync(self, file: int) -> None:
        super().sync(file)
        self.synced.append(Path(os.readlink(f"/proc/self/fd/{file}")))

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.synced.append(folder)


class StandingDisk(Disk):
    """Syncs wait until they may go on."""

    def __init__(self) -> None:
        self.may_sync = Event()
        self.may_sync.set()
        self.has_begun = Event()

    def sync(self, file: int) -> None:
        self.has_begun.set()
        assert self.may_sync.wait(60)
        super().sync(file)


class PhotographedDisk(Disk):
    """Takes an image of a folder before and after each call, as a crash at that moment would leave it.

    The applier calls it too, while others go on: `known` says what was acknowledged, before and behind the taking.
    """

    def __init__(self, folder: Path, images: Path, known: Callable[[], int]) -> None:
        self._folder = folder
        self._images = images
        self._known = known
        self._numbers = count(1)
        # Each image with what was acknowledged before and behind it.
        self.taken: list[tuple[Path, int, int]] = []

    def photograph(self) -> None:
        before = self._known()
        image = copy_log(self._folder, self._images / str(next(self._numbers)))
        self.taken.append((image, before, self._known()))

    def write(self, file: int, parts: Sequence[bytes], offset: int) -> None:
        self.photograph()
        whole = b"".join(parts)
        super().write(file, [whole[: len(whole) // 2]], offset)
        self.photograph()
        super().write(file, parts, offset)
        self.photograph()

    def sync(self, file: int) -> None:
        super().sync(file)
        self.photograph()

    def cut(self, file: int, length: int) -> None:
        super().cut(file, length)
        self.photograph()

    def sync_folder(self, folder: Path) -> None:
        self.photograph()
        super().sync_folder(folder)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.photograph()
