"""The system calls of a module, of which one fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

CALLS = frozenset(
    [
        "open",
        "close",
        "write",
        "fsync",
        "ftruncate",
        "truncate",
        "rename",
        "unlink",
        "listdir",
        "stat",
        "fstat",
        "lseek",
    ],
)


class FaultyOs:
    """Stands in for the module `os`: counts its calls, and fails the one that it is told to, once.

    `done_first`: the call is done and fails all the same; else it does nothing, and a write half of it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.fail_at: int | None = None
        self.done_first = False
        self.failed: str | None = None

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(name, real) if name in CALLS else real

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.count += 1
            if self.count != self.fail_at:
                return real(*args, **named)
            self.failed = name
            if name == "write" and not self.done_first:
                real(args[0], args[1][: len(args[1]) // 2])
            elif self.done_first or name == "close":
                made = real(*args, **named)
                if name == "open":
                    os.close(made)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        return call


@contextmanager
def faulty_os(*modules: ModuleType) -> Iterator[FaultyOs]:
    faulty = FaultyOs()
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "os", faulty)
        yield faulty
