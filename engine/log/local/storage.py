"""The durable log in files of its own: a commit is one write and one sync; its small state follows in SQLite."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Literal

from engine.core.errors import DataFolderError
from engine.core.unit import Recovered
from engine.log.codec import EncodedBatch
from engine.log.local.disk import Disk
from engine.log.local.floor import Floor, FloorFile, floor_path
from engine.log.local.format import (
    FORMAT_VERSION,
    HEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    Body,
    Head,
    commits_and_positions,
    frame_of,
    segment_name,
)
from engine.log.local.identity import NOWHERE, LogIdentity, put_identity
from engine.log.local.pages import Frames, PageSums, wal_path
from engine.log.local.read_only import check_state
from engine.log.local.replay import End, Replay
from engine.log.local.segment import Segment, missing
from engine.log.local.segment_writer import SegmentWriter
from engine.log.rows import tables
from engine.log.rows.applier import APPLY_CHANGES_BYTES, APPLY_LOG_BYTES, Applier
from engine.log.rows.connections import Connections
from engine.log.storage import ON_THIS_MACHINE, DeletedError, Entry, StorageError

log = logging.getLogger("penstock.log")

SEGMENT_BYTES = 16 << 20
# Segments behind the last one whose index is kept.
_INDEXES_MAX = 8


class LocalLogStorage:
    """Implements `LogStorage` over a folder of segments and a database of what they changed.

    A commit is in the log when it returns, and in memory; the database follows many commits behind, on a thread of
    its own (`Applier`), and says in the same transaction how far it has come. Opening reads the log from there on.
    `synchronous` NORMAL leaves out the sync of each commit, and survives a crash of the process only.

    A partition is made once, by `make`. What is not there later is lost, and `recover` says so.
    """

    pace = ON_THIS_MACHINE
    inbox = None

    def __init__(
        self,
        folder: Path,
        *,
        identity: LogIdentity = NOWHERE,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        segment_bytes: int = SEGMENT_BYTES,
        apply_log_bytes: int = APPLY_LOG_BYTES,
        apply_changes_bytes: int = APPLY_CHANGES_BYTES,
        disk: Disk | None = None,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._syncs = synchronous == "FULL"
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._state = folder / tables.STATE_NAME
        self._connections = Connections(self._state)
        self._pages = PageSums(self._state, identity, self._disk)
        self._floor = FloorFile(floor_path(folder), identity, self._disk)
        self._applier = Applier(
            f"partition {folder.name}",
            self._connections,
            self._pages,
            secure_log=self._secure_log,
            apply_log_bytes=apply_log_bytes,
            apply_changes_bytes=apply_changes_bytes,
        )
        # In order, the last one is written. Replaced as a whole, for readers.
        self._segments: tuple[Segment, ...] = ()
        self._indexed: deque[Segment] = deque()
        self._indexes = Lock()
        self._writer: SegmentWriter | None = None
        # Held by whoever changes the log, and at its end.
        self._changing = Lock()
        # Held while the writer is closed, and while the applier uses it.
        self._turning = Lock()
        # False where a commit was interrupted that may be stored: what is known then is not what the files hold.
        self._is_sure = True
        self._commit = 0
        self._last_position = 0
        # What lies before it is gone, though its bytes may still be there.
        self._oldest_position = 1
        self._acknowledged = Floor()
        # The last commit, its last position and its checksum: what the floor will say once it may.
        self._end = 0, 0, 0

    # -- making ---

    def make(self) -> None:
        """Makes an empty partition, or finishes the making of one; not for use afterwards.

        Raises `DataFolderError` where a log is there already.
        """
        try:
            if any(_holds_commits(path) for path in self._folder.glob("*.log")):
                raise DataFolderError(f"{self._folder} holds a log that `penstock.json` does not know of")
            # What an unfinished making left.
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            writer = self._connections.writer
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute("BEGIN")
            for statement in tables.SCHEMA.split(";"):
                writer.execute(statement)
            tables.put_meta(writer, "format", FORMAT_VERSION)
            put_identity(writer, self._identity)
            writer.execute("COMMIT")
            self._connections.close()
            self._pages.make()
            self._begin_segment().close()
            self._floor.make(Floor())
            for folder in (self._folder, self._folder.parent):
                self._disk.sync_folder(folder)
        except OSError as error:
            raise DataFolderError(f"{self._folder} cannot be made: {error.strerror}") from error
        except (sqlite3.Error, StorageError) as error:
            raise DataFolderError(f"{self._state} cannot be made: {error}") from error
        finally:
            self._connections.close()
            self._floor.close()

    # -- opening ---

    def recover(self) -> Recovered:
        try:
            return self._recovered()
        except (sqlite3.DatabaseError, StorageError) as error:
            raise DataFolderError(f"{self._state} cannot be opened: {error}") from error
        except OSError as error:
            raise DataFolderError(f"{self._folder} cannot be opened as a log: {error}") from error
        finally:
            if not self._applier.is_open:
                self._close_files()

    def _recovered(self) -> Recovered:
        # Looked at before anything is touched: what is refused stays as it was found.
        check_state(self._state, self._identity)
        floor = self._acknowledged = self._floor.open()
        self._end = floor.commit, floor.position, floor.checksum
        self._segments = tuple(
            Segment(self._folder, commit, position, known_from=None)
            for commit, position, _ in commits_and_positions(iter(os.listdir(self._folder)))
        )
        if not self._segments:
            raise DataFolderError(f"{self._folder}: all of its segments are gone; bring the folder back from a copy")
        for segment in self._segments:
            segment.check_identity(self._identity)
        # What a process that died had not synced counts from now on: names, and the end of the log.
        for folder in (self._folder, self._folder.parent):
            self._disk.sync_folder(folder)
        if self._segments:
            with self._segments[-1].opened() as file:
                self._disk.sync(file)
        meta = self._opened_database()
        self._applier.recover(applied_commit=meta.get("applied_commit", 0))
        applied = End(
            commit=meta.get("applied_commit", 0),
            position=meta.get("last_position", 0),
            offset=meta.get("applied_offset"),
        )
        end = Replay(applied, floor=floor, synced=self._syncs, found=self._replay).over(self._segments)
        self._commit, self._last_position = end.commit, end.position
        self._open_end(end)
        self._oldest_position = max(floor.oldest_position, self._segments[0].first_position)
        return self._applier.recovered(last_position=self._last_position, oldest_position=self._oldest_position)

    def _opened_database(self) -> dict[str, int]:
        frames = Frames(wal_path(self._state))
        writer = self._connections.writer
        # Segments are deleted on its word.
        writer.execute("PRAGMA synchronous = FULL")
        self._pages.open(frames, is_copied=self._connections.checkpoint())
        return tables.meta_of(writer)

    def _replay(self, head: Head, body: Body, offset: int) -> None:
        self._applier.replay(body.changes, head, offset)

    def _open_end(self, end: End) -> None:
        if not self._segments or end.offset is None:
            self._writer = self._begin_segment()
            return
        before, last = self._segments[:-1], self._segments[-1]
        if not end.offset:
            # The end came while it was made.
            self._segments = before
            self._writer = self._begin_segment()
            return
        mark = end.mark
        assert mark is not None, "its end was found by it"
        self._segments = (
            *before,
            Segment(self._folder, last.first_commit, last.first_position, known_from=end.offset, mark=mark),
        )
        self._writer = SegmentWriter(
            last.path, end.offset, mark, identity=self._identity, disk=self._disk, syncs=self._syncs
        )
        self._writer.restore_header()
        self._writer.mend()

    def _begin_segment(self) -> SegmentWriter:
        """A segment for the next commit, behind all others."""
        path = self._folder / segment_name(self._commit + 1, self._last_position + 1)
        writer = SegmentWriter.begin(path, identity=self._identity, disk=self._disk, syncs=self._syncs)
        try:
            self._disk.sync_folder(self._folder)
        except BaseException:
            writer.close()
            raise
        segment = Segment(self._folder, self._commit + 1, self._last_position + 1, mark=writer.mark)
        self._segments = (*self._segments, segment)
        return writer

    # -- writing ---

    def commit(self, entries: Sequence[Entry]) -> None:
        """Once it was interrupted where it may be stored, no other is taken: the next start reads what is there."""
        with self._changing:
            self._check_open()
            if not self._is_sure:
                raise StorageError("storage_error", f"{self._folder.name}: a commit was interrupted; start again")
            self._applier.await_room()
            try:
                self._is_sure = False
                writer = self._writer_with_room()
                self._is_sure = True
                head, parts, changing = frame_of(
                    self._commit + 1, self._last_position + 1, entries, writer.mark, writer.end
                )
                self._is_sure = False
                offset = writer.append(parts, head.frame_bytes)
                self._stored(head)
            except OSError as error:
                self._is_sure = True
                raise _storage_error(self._folder, error) from error
            # Stored; now readers may see it, its place first.
            self._segments[-1].add(head, offset)
            self._commit, self._last_position = head.commit, self._last_position + head.records
            self._applier.add(changing, head, offset)
            self._is_sure = True

    def _stored(self, head: Head) -> None:
        """What must not be lost any more, before anybody is told of it."""
        self._end = head.commit, self._last_position + head.records, head.body_checksum
        if self._syncs:
            self._raise_floor()

    def _raise_floor(self) -> None:
        commit, position, checksum = self._end
        self._acknowledged = self._acknowledged._replace(commit=commit, position=position, checksum=checksum)
        self._write_floor()

    def _write_floor(self) -> None:
        try:
            self._floor.raise_to(self._acknowledged)
        except OSError as error:
            # The log has it; the floor is only lower than it could be.
            log.warning("%s: %s", self._floor.path, error.strerror)

    def _secure(self, writer: SegmentWriter) -> None:
        """All of the log is on the disk, and then the floor that says so. Raises `OSError`."""
        if not self._syncs:
            writer.sync()
            self._raise_floor()
        self._floor.sync()

    def _check_open(self) -> None:
        if self._writer is None:
            raise StorageError("storage_error", f"{self._folder.name}: the log is closed")

    def _writer_with_room(self) -> SegmentWriter:
        writer = self._writer
        assert writer is not None, "it was looked for"
        if writer.end < self._segment_bytes:
            return writer
        # Also where commits are not synced: only the last segment may have an end that is not safe.
        writer.seal()
        self._secure(writer)
        full = self._segments[-1]
        following = self._begin_segment()
        with self._turning:
            self._writer = following
            writer.close()
        self._remember(full)
        return following

    def _secure_log(self) -> None:
        """Before the database says that it has applied something, that is in the log for good.

        Raises `StorageError`; what the log holds is then not known any more.
        """
        if not self._syncs:
            try:
                with self._turning:
                    if self._writer is not None:
                        self._writer.sync()
            except OSError as error:
                raise _storage_error(self._folder, error) from error

    def delete_before(self, position: int, max_batches: int) -> int:
        with self._changing:
            self._check_open()
            try:
                gone = 0
                for batch in self._batches(self._oldest_position, max_batches):
                    if batch.last_position >= position:
                        break
                    self._oldest_position = batch.last_position + 1
                    gone += 1
                self._acknowledged = self._acknowledged._replace(oldest_position=self._oldest_position)
                if gone and self._syncs:
                    # Without a sync a commit, who let go of it may be forgotten: then it is said with the next sync.
                    self._write_floor()
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
            assert self._writer is not None, "it was looked for"
            if not self._syncs:
                # Who is done with it may have said so only in the last commit.
                self._writer.sync()
            # First it is said, for good: a segment that is gone without a word is lost.
            self._acknowledged = self._acknowledged._replace(oldest_commit=following.first_commit)
            self._floor.raise_to(self._acknowledged)
            self._floor.sync()
            self._disk.remove(oldest.path)
            self._segments = self._segments[1:]

    # -- reading ---

    def read(self, position: int, max_records: int) -> list[EncodedBatch]:
        if position < self._oldest_position:
            raise DeletedError(position, self._oldest_position)
        found: list[EncodedBatch] = []
        until = position + max_records
        for segment, behind in self._from(position):
            if position >= until:
                break
            try:
                batches = segment.read(position, until - position, behind)
            except FileNotFoundError:
                if behind <= self._oldest_position:
                    # Deleted since: no gap between what was found and what is left.
                    break
                # By somebody else, and then it must be heard of.
                batches = [missing(position, behind - 1)]
            found += batches
            position = behind if not batches else batches[-1].last_position + 1
            self._remember(segment)
        if not found and position < self._oldest_position:
            raise DeletedError(position, self._oldest_position)
        return found

    def _from(self, position: int) -> Iterator[tuple[Segment, int]]:
        """The segments from the one that holds the position on, each with the first position behind it."""
        # The segments last: whatever is committed by now has its place in them, and others may be behind it already.
        end = self._last_position + 1
        segments = self._segments
        first = max(bisect_right(segments, position, key=lambda segment: segment.first_position) - 1, 0)
        for number in range(first, len(segments)):
            behind = min(segments[number + 1].first_position, end) if number + 1 < len(segments) else end
            if position < behind:
                yield segments[number], behind
                position = behind

    def _remember(self, segment: Segment) -> None:
        """Keeps the indexes of few segments, those that were used last."""
        with self._indexes:
            if segment is self._segments[-1]:
                return
            if segment in self._indexed:
                self._indexed.remove(segment)
            self._indexed.append(segment)
            if len(self._indexed) > _INDEXES_MAX:
                self._indexed.popleft().forget()

    def state_get(self, key: str) -> bytes | None:
        return self._applier.state_get(key)

    def state_scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        return iter(self._applier.state_scan(prefix))

    def cluster(self) -> None:
        """It is in none."""

    def attend(self) -> None:
        """It has no clients."""

    def stop(self) -> None:
        """Nothing here waits for anything outside."""

    def close(self) -> None:
        # Who waits for room is refused, and the commit under way ends.
        self._applier.refuse()
        with self._changing:
            self._applier.close()
            self._close_files()

    def _close_files(self) -> None:
        if self._writer is not None:
            with suppress(OSError):
                self._secure(self._writer)
            self._writer.close()
            self._writer = None
        self._floor.close()
        self._connections.close(checkpoints=self._applier.is_summed)


def _holds_commits(segment: Path) -> bool:
    with segment.open("rb") as file:
        file.seek(SEGMENT_HEADER_BYTES)
        return any(file.read(HEAD_BYTES))


def _storage_error(folder: Path, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "disk_full"
    elif error.errno == errno.EIO:
        reason = "io_error"
    else:
        reason = "storage_error"
    return StorageError(reason, f"{folder.name}: {error.strerror}")
