"""Samples of another process's stacks, taken by py-spy in pieces of some seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.core.extras import MissingExtraError
from penstock.bridges.asking import LookError
from penstock.bridges.process.rules import Frame

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]*?)(?::\d+)?\)")
_THREAD = re.compile(r"thread \((?P<id>[^)]+)\)(?:: (?P<name>.*))?", re.DOTALL)
# Far more than the stacks of a thousand threads.
_BYTES_MAX = 64 * 1024 * 1024
_GRACE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Samples:
    """How often a thread was seen with a stack, innermost frame first."""

    thread_id: str
    thread: str
    stack: tuple[Frame, ...]
    count: int


class StackReader:
    """Reads the stacks of one process. One caller at a time; `stop` from any thread.

    Raises `MissingExtraError` where py-spy is not installed.
    """

    def __init__(self, pid: int, rate: int) -> None:
        self._pid = pid
        self._rate = rate
        self._program = _program()
        self._running: subprocess.Popen[str] | None = None

    def read(self, seconds: int) -> list[Samples]:
        """Looks for so long, and tells what was seen. Raises `LookError`."""
        with tempfile.TemporaryDirectory(prefix="penstock-watch-") as folder:
            output = Path(folder) / "stacks"
            command = [
                self._program, "record", "--pid", str(self._pid), "--duration", str(seconds), "--rate", str(self._rate),
                "--format", "raw", "--idle", "--threads", "--function", "--nonblocking", "--output", str(output),
            ]  # fmt: skip
            self._running = process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            try:
                _, said = process.communicate(timeout=seconds + _GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise LookError("timeout", f"py-spy does not come back from process {self._pid}") from None
            if process.returncode or not output.exists():
                raise _failed(self._pid, said)
            if output.stat().st_size > _BYTES_MAX:
                raise LookError("too_large", f"the stacks of process {self._pid} are larger than is read")
            return list(read_raw(output.read_text(encoding="utf-8", errors="replace")))

    def stop(self) -> None:
        """Ends a look that is under way."""
        if self._running is not None and self._running.poll() is None:
            self._running.terminate()


def read_raw(text: str) -> Iterator[Samples]:
    """Lines of `thread (id): name;outermost;…;innermost count`. What cannot be read is left out."""
    for line in text.splitlines():
        rest, _, count = line.rpartition(" ")
        thread, *frames = rest.split(";")
        found = _THREAD.fullmatch(thread)
        if found is None or not count.isdecimal():
            continue
        stack = [
            Frame(known["function"], known["file"])
            for frame in reversed(frames)
            if (known := _FRAME.fullmatch(frame)) is not None
        ]
        yield Samples(found["id"], found["name"] or f"thread {found['id']}", tuple(stack), int(count))


def _program() -> str:
    """Beside the interpreter first: an installation that is not on the path has its own."""
    for folder in (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), *os.get_exec_path()):
        found = Path(folder) / "py-spy"
        if found.is_file() and os.access(found, os.X_OK):
            return str(found)
    raise MissingExtraError("this needs py-spy, which is not installed: pip install 'penstock[watch]'")


def _failed(pid: int, said: str) -> LookError:
    text = said.lower()
    if "permission denied" in text or "operation not permitted" in text:
        return LookError(
            "refused",
            f"process {pid} may not be looked into: run as root, or as its user where kernel.yama.ptrace_scope is 0, "
            "and in a container with the capability SYS_PTRACE",
        )
    if "no such process" in text or not Path(f"/proc/{pid}").exists():
        return LookError("unreachable", f"there is no process {pid}")
    if "python version" in text or "python interpreter" in text or "find a python" in text:
        return LookError("malformed", f"process {pid} is not a Python that py-spy can read")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it says nothing")
    return LookError("status", f"py-spy could not look into process {pid}: {last[:200]}")
