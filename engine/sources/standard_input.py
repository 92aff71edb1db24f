"""Standard input, line by line: what a pipe brings in this run."""

from __future__ import annotations

import os
import select
import sys

from engine.core.errors import ConfigurationError, PenstockError
from engine.core.snapshot import InputSnapshot
from engine.sources.line_splitter import LINE_BYTES_MAX, LineSplitter
from engine.sources.protocol import SourceBatch, SourceStart

_BLOCK_BYTES = 256 * 1024


class StandardInput:
    """Reads the lines that come through the pipe until it is closed; values and empty lines as in a file.

    It cannot be read again, and says so (`restartable`): lines are numbered over all runs, and a run's first line
    follows the highest number that any partition has stored. What a run had read and not stored when it was killed is
    lost; a run that ends in order stores all it has read.
    """

    restartable = False
    prompt = True
    of_this_machine = True

    def __init__(self, *, line_bytes_max: int = LINE_BYTES_MAX, descriptor: int | None = None) -> None:
        """`descriptor` is what to read instead of standard input."""
        self._line_bytes_max = line_bytes_max
        self._descriptor = descriptor
        self._splitter = LineSplitter(line_bytes_max, name=self.describe())
        self._at_end = False
        self._position_bytes = 0

    def describe(self) -> str:
        return "standard input"

    def check(self) -> None:
        if self._descriptor is None and (sys.stdin is None or sys.stdin.closed):
            raise ConfigurationError("standard input is closed; there is nothing to read from it")

    def open(self, start: SourceStart) -> None:
        self.check()
        self._splitter = LineSplitter(self._line_bytes_max, line=start.offset + 1, name=self.describe())
        self._at_end = False

    def read(self, max_values: int) -> SourceBatch | None:
        if self._splitter.is_empty and not self._at_end:
            self._read_block()
        if self._splitter.is_empty and self._at_end:
            return None
        return SourceBatch(*self._splitter.take(max_values))

    def close(self) -> None:
        """Leaves the descriptor open: it belongs to the process."""

    def input(self) -> InputSnapshot:
        return InputSnapshot(position_bytes=self._position_bytes)

    def _read_block(self) -> None:
        # Past the interpreter's own buffer: nobody else reads here.
        descriptor = sys.stdin.fileno() if self._descriptor is None else self._descriptor
        if not select.select([descriptor], [], [], 0)[0]:
            return
        try:
            block = os.read(descriptor, _BLOCK_BYTES)
        except OSError as error:
            raise PenstockError(
                f"standard input cannot be read behind line {self._splitter.line - 1}: {error}"
            ) from error
        self._position_bytes += len(block)
        if block:
            self._splitter.feed(block)
        else:
            self._at_end = True
            self._splitter.finish()
