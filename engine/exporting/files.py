"""What the exporter of files asks of a file system: names that are synced, and never given to two."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path
from typing import BinaryIO

_BLOCK_BYTES = 64 * 1024


def sync_folder(folder: Path) -> None:
    """Makes names as durable as contents."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reading(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb")


def writing(path: Path, *, new: bool = False) -> BinaryIO:
    """An empty file to write; `new` raises `FileExistsError` rather than empty one that is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if new else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o644), "wb")


def size_of(path: Path) -> int:
    """0 for a file that is not there."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def whole_lines(path: Path) -> int:
    """How many bytes of the file are lines with an end."""
    with reading(path) as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _BLOCK_BYTES)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0


def move_aside(path: Path, kept: int = 0) -> Path:
    """Moves what lies behind `kept` bytes into a new file beside it, and says which.

    Interrupted at any moment, it has lost nothing; some may then stand in both.
    """
    for number in count(1):
        aside = path.with_name(f"{path.name}.aside-{number}")
        if not os.path.lexists(aside):
            break
    if not kept:
        os.rename(path, aside)
        sync_folder(path.parent)
        return aside
    with reading(path) as tail, writing(aside, new=True) as file:
        tail.seek(kept)
        shutil.copyfileobj(tail, file, _BLOCK_BYTES)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    os.truncate(path, kept)
    return aside
