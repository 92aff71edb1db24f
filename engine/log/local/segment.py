"""One file of the log, as readers see it: where its frames lie, and the batches that they hold."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from engine.core.records import WriteSource
from engine.log.codec import EncodedBatch, checksum_of
from engine.log.local.format import (
    HEAD_BYTES,
    MARK_REACH_BYTES,
    SEGMENT_HEADER_BYTES,
    Head,
    decode_batches,
    decode_head,
    mark_of,
    next_head,
    read_header,
    segment_name,
)
from engine.log.local.identity import LogIdentity
from engine.log.local.window import Window

# Frames that are read together in one call of the system.
_READ_BYTES = 1 << 20


class _Index:
    """First position and offset of each frame with records, both rising. One thread adds, any looks."""

    __slots__ = ("offsets", "positions")

    def __init__(self) -> None:
        self.positions = array("Q")
        self.offsets = array("Q")

    def add(self, position: int, offset: int) -> None:
        # Positions last: who sees one finds its offset.
        self.offsets.append(offset)
        self.positions.append(position)


class Segment:
    """A row of frames in a file of its own. The writer adds what it has stored; any thread reads."""

    def __init__(
        self,
        folder: Path,
        first_commit: int,
        first_position: int,
        *,
        known_from: int | None = 0,
        mark: bytes | None = None,
    ) -> None:
        """`known_from`: frames from this offset on will be added; those before are looked up when they are wanted.
        None: so is the whole file. Without a mark its first bytes are asked for it.
        """
        self.path = folder / segment_name(first_commit, first_position)
        self.first_commit = first_commit
        self.first_position = first_position
        self._lock = Lock()
        self._index = _Index()
        self._known_from = known_from
        self._mark = mark

    def add(self, head: Head, offset: int) -> None:
        """A frame that has been stored."""
        if head.records:
            with self._lock:
                self._index.add(head.first_position, offset)

    def forget(self) -> None:
        """Gives back the memory of the index; for a segment that nothing is added to any more."""
        with self._lock:
            self._index, self._known_from = _Index(), None

    @contextmanager
    def opened(self) -> Iterator[int]:
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield file
        finally:
            os.close(file)

    def read(self, position: int, max_records: int, behind: int) -> list[EncodedBatch]:
        """Batches from the one that holds `position` on, until `max_records` are covered or the segment ends.

        `behind` is the first position that is not in it. Positions that cannot be read come as a batch without content
        whose checksum does not match. Raises `FileNotFoundError` where the segment has been deleted.
        """
        found = _Found(position, max_records)
        self._read(found, position + max_records, behind)
        return found.batches

    def extents(self, position: int, max_batches: int, behind: int) -> list[EncodedBatch]:
        """Up to so many batches from the one that holds `position` on, without what they hold. Raises as `read`."""
        found = _Extents(position, max_batches)
        self._read(found, position + 1, behind)
        return found.batches

    def _read(self, found: _Found, until: int, behind: int) -> None:
        """`until`: what lies before it is surely wanted, and may be read in one call."""
        with self.opened() as file:
            mark = self.mark_in(file)
            if mark is None:
                # It says nowhere how its heads begin, and so none can be told from what clients sent.
                found.add_missing(self.first_position, behind - 1)
                return
            index = self._index_for(found.position, file, mark)
            positions, offsets = index.positions, index.offsets
            count = len(positions)
            at = max(bisect_right(positions, found.position, 0, count) - 1, 0)
            expected = positions[at] if at > 0 else self.first_position
            window = _window_over(file, offsets, at, bisect_right(positions, until - 1, at, count))
            while at < count and not found.is_enough:
                first = positions[at]
                if first >= behind:
                    break
                following = positions[at + 1] if at + 1 < count else behind
                if first > expected:
                    found.add_missing(expected, first - 1)
                expected = _read_frame(window, mark, offsets[at], first, following, found)
                at += 1
            if expected < behind and at == count and not found.is_enough:
                found.add_missing(expected, behind - 1)

    def check_identity(self, identity: LogIdentity) -> None:
        """Raises `DataFolderError` where it says that it is somebody else's; a damaged header says nothing."""
        with self.opened() as file:
            header = read_header(os.pread(file, SEGMENT_HEADER_BYTES, 0))
        if header is not None:
            identity.check(header.identity, self.path)

    def mark_in(self, file: int) -> bytes | None:
        """What the heads in this open segment begin with; None where nobody can tell."""
        if self._mark is None:
            self._mark = mark_of(os.pread(file, MARK_REACH_BYTES, 0))
        return self._mark

    def _index_for(self, position: int, file: int, mark: bytes) -> _Index:
        """An index that knows the frame that holds the position."""
        with self._lock:
            index, known_from = self._index, self._known_from
            if known_from == 0 or (known_from and len(index.positions) and index.positions[0] <= position):
                return index
        end = os.fstat(file).st_size if known_from is None else known_from
        whole = _Index()
        for offset, head in heads_of(file, mark, SEGMENT_HEADER_BYTES, end, self.first_commit, self.first_position):
            if head is not None and head.records:
                whole.add(head.first_position, offset)
        with self._lock:
            if self._known_from == known_from:
                # What was added in the meantime stands behind what was looked up.
                whole.offsets.extend(self._index.offsets)
                whole.positions.extend(self._index.positions)
                self._index, self._known_from = whole, 0
            return self._index if self._known_from == 0 else whole


class _Found:
    """Batches on their way to a reader, until `max_records` from `position` on are covered."""

    def __init__(self, position: int, max_records: int) -> None:
        self.position = position
        self._left = max_records
        self.batches: list[EncodedBatch] = []

    @property
    def is_enough(self) -> bool:
        return self._left <= 0

    def add(self, batch: EncodedBatch) -> None:
        if batch.last_position >= self.position:
            self.batches.append(batch)
            self._left -= self._worth(batch)

    def _worth(self, batch: EncodedBatch) -> int:
        return batch.last_position - max(self.position, batch.first_position) + 1

    def wants(self, first: int, count: int) -> bool:
        return first + count > self.position and not self.is_enough

    def add_missing(self, first: int, last: int) -> None:
        self.add(missing(first, last))

    def blob(self, window: Window, start: int, length: int) -> bytes:
        return window.bytes(start, length)


class _Extents(_Found):
    """A number of batches, whose content nobody wants."""

    def _worth(self, batch: EncodedBatch) -> int:
        return 1

    def blob(self, window: Window, start: int, length: int) -> bytes:
        return b""


def missing(first: int, last: int) -> EncodedBatch:
    """Stands for positions that cannot be read: whoever opens it finds that its checksum does not match."""
    count = last - first + 1
    return EncodedBatch(first, count, 0, WriteSource.INTERNAL, checksum_of(b"", first, count) ^ 1, b"")


def _window_over(file: int, offsets: array[int], first: int, last: int) -> Window:
    """Over the frames from `first` to before `last`, as far as they are read in one call."""
    # The end of the last one is not known here: as many bytes again as there are before it are about right.
    reach = offsets[last - 1] - offsets[first] if last > first else 0
    return Window(file, bytes_ahead=min(_READ_BYTES, reach + (1 << 16)))


def _read_frame(window: Window, mark: bytes, offset: int, first: int, following: int, found: _Found) -> int:
    """Adds what is wanted of a frame's batches; returns the position behind it."""
    head = decode_head(window.bytes(offset, HEAD_BYTES), mark, offset)
    if head is None or head.first_position != first:
        found.add_missing(first, following - 1)
        return following
    try:
        batches = decode_batches(head, window.bytes(offset + HEAD_BYTES, head.body_bytes))
    except ValueError:
        found.add_missing(first, first + head.records - 1)
        return first + head.records
    for position, count, timestamp_ns, source, checksum, start, length, kinds in batches:
        if found.wants(position, count):
            blob = found.blob(window, offset + start, length)
            found.add(EncodedBatch(position, count, timestamp_ns, source, checksum, blob, kinds))
    return first + head.records


def heads_of(
    file: int, mark: bytes, start: int, end: int, commit: int, position: int
) -> Iterator[tuple[int, Head | None]]:
    """Offset and head of each frame from `start` on, where commit and position are the least that are to be expected.

    None stands for a head at the beginning of a stretch that nobody can read; a clean end of zeros is none.
    """
    window = Window(file)
    offset = start
    while offset + HEAD_BYTES <= end:
        head = decode_head(window.bytes(offset, HEAD_BYTES), mark, offset)
        if head is None or head.commit < commit or head.first_position < position:
            found = next_frame(file, mark, offset, end, commit, position)
            if found is None:
                if not is_zeros(file, offset, end):
                    yield offset, None
                return
            yield offset, None
            offset = found
            continue
        yield offset, head
        commit, position = head.commit + 1, head.first_position + head.records
        offset += head.frame_bytes


def next_frame(file: int, mark: bytes, offset: int, end: int, commit: int, position: int) -> int | None:
    """Where behind `offset` the next whole head of these or later frames is; None where there is none."""
    data = os.pread(file, max(0, end - offset), offset)
    at = next_head(data, 1, mark, offset)
    while at >= 0:
        head = decode_head(data[at : at + HEAD_BYTES], mark, offset + at)
        assert head is not None, "it was just found"
        if head.commit >= commit and head.first_position >= position:
            return offset + at
        at = next_head(data, at + 1, mark, offset)
    return None


def is_zeros(file: int, start: int, end: int) -> bool:
    return not os.pread(file, max(0, end - start), start).strip(b"\0")
