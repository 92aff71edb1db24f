"""The durable log in files of its own: a commit is one write and one sync; its small state follows in SQLite."""

from __future__ import annotations

import errno
import os
import sqlite3
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Literal

from engine.errors import DataFolderError
from engine.log import tables
from engine.log.applier import APPLY_CHANGES_BYTES, APPLY_LOG_BYTES, Applier
from engine.log.codec import EncodedBatch
from engine.log.connections import Connections
from engine.log.disk import Disk
from engine.log.replay import End, Replay
from engine.log.segment import Segment, missing
from engine.log.segment_format import FORMAT_VERSION, Body, Head, commits_and_positions, frame_of
from engine.log.segment_writer import SegmentWriter
from engine.log.storage import Entry, StorageError
from engine.unit import Recovered

SEGMENT_BYTES = 16 << 20
# Segments behind the last one whose index is kept.
_INDEXES_MAX = 8


class SegmentsStorage:
    """Implements `LogStorage` over a folder of segments and a database of what they changed.

    A commit is in the log when it returns, and in memory; the database follows many commits behind, on a thread of
    its own (`Applier`), and says in the same transaction how far it has come. Opening reads the log from there on.
    `synchronous` NORMAL leaves out the sync of each commit, and survives a crash of the process only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        segment_bytes: int = SEGMENT_BYTES,
        apply_log_bytes: int = APPLY_LOG_BYTES,
        apply_changes_bytes: int = APPLY_CHANGES_BYTES,
        disk: Disk | None = None,
    ) -> None:
        self._folder = folder
        self._syncs = synchronous == "FULL"
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._connections = Connections(folder / "state.db")
        self._applier = Applier(
            f"partition {folder.name}",
            self._connections,
            secure_log=self._secure_log,
            oldest_position=lambda: self._oldest_position,
            apply_log_bytes=apply_log_bytes,
            apply_changes_bytes=apply_changes_bytes,
        )
        # In order, the last one is written. Replaced as a whole, for readers.
        self._segments: tuple[Segment, ...] = ()
        self._indexed: deque[Segment] = deque()
        self._indexes = Lock()
        self._writer: SegmentWriter | None = None
        # Held while the writer is closed, and while the applier uses it.
        self._turning = Lock()
        self._commit = 0
        self._last_position = 0
        # What lies before it is gone, though its bytes may still be there.
        self._oldest_position = 1

    # -- opening ---

    def recover(self) -> Recovered:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            meta = self._opened_database()
            self._applier.recover(
                applied_commit=meta.get("applied_commit", 0), oldest_position=meta.get("oldest_position", 0)
            )
            self._segments = tuple(
                Segment(self._folder, commit, position, known_from=None)
                for commit, position, _ in commits_and_positions(iter(os.listdir(self._folder)))
            )
            applied = End(
                commit=meta.get("applied_commit", 0),
                position=meta.get("last_position", 0),
                offset=meta.get("applied_offset"),
            )
            if self._segments:
                # What a process that died had not synced counts from now on.
                with self._segments[-1].opened() as file:
                    self._disk.sync(file)
            end = Replay(applied, synced=self._syncs, found=self._replay).over(self._segments)
            self._commit, self._last_position = end.commit, end.position
            self._open_end(end)
            self._oldest_position = max(meta.get("oldest_position", 1), self._segments[0].first_position)
            return self._applier.recovered(last_position=self._last_position, oldest_position=self._oldest_position)
        except (sqlite3.DatabaseError, StorageError) as error:
            raise DataFolderError(f"{self._folder / 'state.db'} cannot be opened: {error}") from error
        except OSError as error:
            raise DataFolderError(f"{self._folder} cannot be opened as a log: {error}") from error

    def _opened_database(self) -> dict[str, int]:
        writer = self._connections.writer
        # Segments are deleted on its word.
        writer.execute("PRAGMA synchronous = FULL")
        version = tables.format_of(writer)
        if version is None:
            writer.executescript(f"BEGIN;{tables.SCHEMA}INSERT INTO meta VALUES ('format', {FORMAT_VERSION});COMMIT;")
        elif version != FORMAT_VERSION:
            raise tables.wrong_format(self._folder, version, FORMAT_VERSION)
        return tables.meta_of(writer)

    def _replay(self, head: Head, body: Body, offset: int) -> None:
        self._applier.replay(body.changes, head, offset)

    def _open_end(self, end: End) -> None:
        if not self._segments or end.offset is None:
            self._writer = self._begin_segment()
            return
        last = self._segments[-1]
        self._segments = (
            *self._segments[:-1],
            Segment(self._folder, last.first_commit, last.first_position, known_from=end.offset),
        )
        self._writer = SegmentWriter(last.path, end.offset, disk=self._disk, syncs=self._syncs)
        self._writer.mend()

    def _begin_segment(self) -> SegmentWriter:
        """A segment for the next commit, behind all others."""
        segment = Segment(self._folder, self._commit + 1, self._last_position + 1)
        writer = SegmentWriter(segment.path, 0, disk=self._disk, syncs=self._syncs)
        try:
            self._disk.sync_folder(self._folder)
        except OSError:
            writer.close()
            raise
        self._segments = (*self._segments, segment)
        return writer

    # -- writing ---

    def commit(self, entries: Sequence[Entry]) -> None:
        self._applier.await_room()
        head, parts, changing = frame_of(self._commit + 1, self._last_position + 1, entries)
        try:
            offset = self._writer_with_room().append(parts, head.frame_bytes)
        except OSError as error:
            raise _storage_error(self._folder, error) from error
        # Stored; now readers may see it.
        self._commit = head.commit
        self._segments[-1].add(head, offset)
        self._applier.add(changing, head, offset)
        self._last_position += head.records

    def _writer_with_room(self) -> SegmentWriter:
        writer = self._writer
        assert writer is not None, "recover comes first"
        if writer.end < self._segment_bytes:
            return writer
        # Also where commits are not synced: only the last segment may have an end that is not safe.
        writer.seal()
        following = self._begin_segment()
        with self._turning:
            self._writer = following
            writer.close()
        return following

    def _secure_log(self) -> None:
        """Before the database says that it has applied something, that is in the log for good."""
        if not self._syncs:
            with self._turning:
                if self._writer is not None:
                    self._writer.sync()

    def delete_before(self, position: int, max_batches: int) -> int:
        try:
            gone = 0
            for batch in self._batches(self._oldest_position, max_batches):
                if batch.last_position >= position:
                    break
                self._oldest_position = batch.last_position + 1
                gone += 1
            self._delete_segments()
        except OSError as error:
            raise _storage_error(self._folder, error) from error
        return gone

    def _batches(self, position: int, count: int) -> list[EncodedBatch]:
        """The next so many, without content."""
        found: list[EncodedBatch] = []
        for segment, behind in self._from(position):
            if len(found) == count:
                break
            found += segment.extents(found[-1].last_position + 1 if found else position, count - len(found), behind)
        return found

    def _delete_segments(self) -> None:
        while len(self._segments) > 1:
            oldest, following = self._segments[:2]
            if following.first_position > self._oldest_position:
                return
            if following.first_commit > self._applier.applied_commit + 1:
                return
            self._disk.remove(oldest.path)
            self._segments = self._segments[1:]

    # -- reading ---

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        found: list[EncodedBatch] = []
        position = max(position, self._oldest_position)
        until = position + max_records
        for segment, behind in self._from(position):
            if position >= until:
                break
            try:
                batches = segment.read(position, until - position, behind)
            except FileNotFoundError:
                # Deleted since; or by somebody else, and then it must be heard of.
                batches = [] if behind <= self._oldest_position else [missing(position, behind - 1)]
            found += batches
            position = behind if not batches else batches[-1].last_position + 1
            self._remember(segment)
        return found

    def _from(self, position: int) -> Iterator[tuple[Segment, int]]:
        """The segments from the one that holds the position on, each with the first position behind it."""
        # The segments last: whatever is committed by now has its place in them.
        end = self._last_position + 1
        segments = self._segments
        first = max(bisect_right(segments, position, key=lambda segment: segment.first_position) - 1, 0)
        for number in range(first, len(segments)):
            behind = segments[number + 1].first_position if number + 1 < len(segments) else end
            if position < behind <= end:
                yield segments[number], behind
                position = behind

    def _remember(self, segment: Segment) -> None:
        """Keeps the indexes of few segments."""
        with self._indexes:
            if segment is self._segments[-1] or segment in self._indexed:
                return
            self._indexed.append(segment)
            if len(self._indexed) > _INDEXES_MAX:
                self._indexed.popleft().forget()

    def state_get(self, key: str) -> bytes | None:
        return self._applier.state_get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter(self._applier.state_scan(prefix))

    def close(self) -> None:
        self._applier.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._connections.close()


def _storage_error(folder: Path, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "disk_full"
    elif error.errno == errno.EIO:
        reason = "io_error"
    else:
        reason = "storage_error"
    return StorageError(reason, f"{folder.name}: {error.strerror}")
