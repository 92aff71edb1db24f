"""Looks at a partition from outside, beside whoever writes, deletes and applies it: what is in it, and is it whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.core.errors import DataFolderError
from engine.core.records import Record
from engine.log.codec import EncodedBatch
from engine.log.findings import Overview, Verdict, unreadable, whole_records
from engine.log.local.floor import Floor, floor_path, read_floor
from engine.log.local.format import commits_and_positions
from engine.log.local.identity import NOWHERE, LogIdentity
from engine.log.local.look import floor_as_it_is, look_at
from engine.log.local.pages import damaged
from engine.log.local.read_only import check, check_state, opened_to_read
from engine.log.local.segment import Segment
from engine.log.local.segment_file import Stretch
from engine.log.local.survey import Survey
from engine.log.rows.tables import STATE_NAME


class Inspection:
    """A read-only view of one partition; a context manager, for one thread.

    Entering raises `DataFolderError` where its files are gone, somebody else's, or of another format, in the words in
    which a start refuses them. Leaving raises it when the database itself turned out to be damaged: nothing we could
    mend.
    """

    def __init__(self, partition: int, path: Path, identity: LogIdentity = NOWHERE) -> None:
        """`path` is the partition's folder."""
        self.partition = partition
        self._path = path
        self._identity = identity
        self._database = path / STATE_NAME
        self._db: sqlite3.Connection | None = None
        self._floor_refused = ""

    def __enter__(self) -> Self:
        check_state(self._database, self._identity)
        for commit, position, _ in commits_and_positions(iter(os.listdir(self._path))):
            # One that an engine deletes meanwhile was its own.
            with suppress(FileNotFoundError):
                Segment(self._path, commit, position).check_identity(self._identity)
        self._db = opened_to_read(self._database)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if isinstance(error, sqlite3.DatabaseError):
            raise damaged(self._database, " ".join(str(error).split())) from error

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._db is not None, "entered first"
        return self._db

    def _floor(self) -> Floor:
        try:
            floor = read_floor(floor_path(self._path), self._identity)
        except DataFolderError as error:
            self._floor_refused = str(error)
            return floor_as_it_is(self._path)
        self._floor_refused = ""
        return floor

    def overview(self) -> Overview:
        return self._surveyed(thorough=False).overview

    def verify(self) -> Verdict:
        """Holds every batch against its checksum, and every position against the one before, as of one moment."""
        check(self._open)
        return self._surveyed(thorough=True)

    def _surveyed(self, *, thorough: bool) -> Verdict:
        with ExitStack() as stack:
            look = look_at(self._path, self._open, self._floor, stack)
            survey = Survey(self.partition, look, thorough=thorough)
            for _ in survey.findings():
                pass
            return replace(survey.verdict(self._path), floor_refused=self._floor_refused)

    def records(self, first: int, last: int | None = None) -> Iterator[Record]:
        """The records from position `first` to `last`, or to the end.

        Raises `DataFolderError` at a batch that is damaged.
        """
        return whole_records(self.partition, self._batches(first, last), first, last)

    def _batches(self, first: int, last: int | None) -> Iterator[EncodedBatch]:
        with ExitStack() as stack:
            look = look_at(self._path, self._open, self._floor, stack)
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
