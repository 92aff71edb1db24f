"""Looks at a partition that lies in segments, beside whoever writes, deletes and applies them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from engine.core.records import Record
from engine.log.codec import EncodedBatch
from engine.log.findings import Overview, Verdict, unreadable, whole_records
from engine.log.local.format import FORMAT_VERSION
from engine.log.local.look import STATE_NAME, look_at
from engine.log.local.read_only import ReadOnlyDatabase, check
from engine.log.local.segment_file import Stretch
from engine.log.local.survey import Survey


class SegmentInspection(ReadOnlyDatabase):
    """Implements `Inspection` over a folder of segments and the database behind them."""

    def __init__(self, partition: int, path: Path) -> None:
        self.partition = partition
        self._path = path
        super().__init__(path / STATE_NAME, FORMAT_VERSION)

    def overview(self) -> Overview:
        return self._surveyed(thorough=False).overview

    def verify(self) -> Verdict:
        check(self._open)
        return self._surveyed(thorough=True)

    def _surveyed(self, *, thorough: bool) -> Verdict:
        with ExitStack() as stack:
            survey = Survey(self.partition, look_at(self._path, self._open, stack), thorough=thorough)
            for _ in survey.findings():
                pass
            return survey.verdict(self._path)

    def records(self, first: int, last: int | None = None) -> Iterator[Record]:
        return whole_records(self.partition, self._batches(first, last), first, last)

    def _batches(self, first: int, last: int | None) -> Iterator[EncodedBatch]:
        with ExitStack() as stack:
            look = look_at(self._path, self._open, stack)
            first = max(first, look.recovered.oldest_position)
            for _, file, piece in look.pieces(first):
                # Also a header that is damaged is none of the records' concern.
                if not isinstance(piece, Stretch) or piece.after.position <= first or piece.after == piece.before:
                    continue
                if last is not None and piece.before.position > last:
                    return
                if piece.body is None:
                    raise unreadable(self.partition, piece.before.position, piece.why)
                assert file is not None, "what can be read is in a file"
                yield from (batch for batch in file.batches(piece) if batch.last_position >= first)
