"""Reads one segment from outside: its frames, and where behind damage the next one stands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from engine.core.errors import DataFolderError
from engine.log.codec import EncodedBatch
from engine.log.findings import fault_of
from engine.log.local.format import (
    HEAD_BYTES,
    MARK_BYTES,
    MARK_REACH_BYTES,
    SEGMENT_HEADER_BYTES,
    Body,
    Head,
    UnreadableBodyError,
    decode_body,
    decode_head,
    mark_of,
    next_head,
    read_header,
)
from engine.log.local.identity import LogIdentity
from engine.log.local.window import Window

# A record is a key and a value in its blob, at least.
_RECORD_BYTES_MIN = 2


class Place(NamedTuple):
    """Between two commits: those of the next commit and of the next record."""

    commit: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Bytes `start` to `end` of a segment: a frame, or what cannot be read between two that can."""

    start: int
    end: int
    before: Place
    after: Place
    head: Head | None
    # None where nothing of it can be read; `why` says why.
    body: Body | None
    why: str = ""
    # Nobody can say what was in it.
    is_unknown: bool = False


class SegmentFile:
    """A segment that is open to be read; a context manager. Raises `FileNotFoundError` when it has been deleted."""

    def __init__(self, path: Path, applied: tuple[int, int] = (0, 0)) -> None:
        """`applied`: a commit of which the database knows the place, in this segment or another."""
        self._path = path
        self._applied = applied
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._window = Window(self._file)
        self._mark: bytes | None = None

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def bytes_of(self, stretch: Stretch) -> bytes:
        return os.pread(self._file, stretch.end - stretch.start, stretch.start)

    def batches(self, stretch: Stretch) -> list[EncodedBatch]:
        """Those of a frame, whole or not."""
        if stretch.body is None:
            return []
        frame = self.bytes_of(stretch)
        places = [(start, start + length) for *_, start, length, _ in stretch.body.batches]
        return [stretch.body.batch(i, frame[start:end]) for i, (start, end) in enumerate(places)]

    # -- header ---

    @property
    def mark(self) -> bytes | None:
        """What its heads begin with; None where nothing says it, or does not yet."""
        if self._mark is None:
            self._mark = mark_of(os.pread(self._file, MARK_REACH_BYTES, 0)) or self._mark_of_applied()
        return self._mark

    def _mark_of_applied(self) -> bytes | None:
        commit, offset = self._applied
        data = os.pread(self._file, HEAD_BYTES, offset)
        mark = data[:MARK_BYTES]
        head = decode_head(data, mark, offset) if offset else None
        return mark if head is not None and head.commit == commit else None

    @property
    def has_header(self) -> bool:
        return self.identity is not None

    @property
    def identity(self) -> LogIdentity | None:
        """Whose it says it is; None where its header is damaged."""
        header = read_header(os.pread(self._file, SEGMENT_HEADER_BYTES, 0))
        return header.identity if header is not None else None

    # -- frames ---

    def frame(self, start: int, before: Place, *, again: bool = False) -> Stretch | None:
        """The frame that must begin at `start`; None where there is no whole head, or it is cut off."""
        if again:
            self._window = Window(self._file)
        head = self._head(start, before)
        if head is None or start + head.frame_bytes > self.size:
            return None
        end = start + head.frame_bytes
        try:
            body, why = _body_of(head, self._window.bytes(start + HEAD_BYTES, head.body_bytes))
        except UnreadableBodyError as error:
            # Nothing was lost, so nothing may be put in its place.
            message = f"{self._path}: commit {head.commit} is whole, and this version cannot read it: {error}"
            raise DataFolderError(message) from error
        after = Place(before.commit + 1, before.position + head.records)
        return Stretch(start=start, end=end, before=before, after=after, head=head, body=body, why=why)

    def _head(self, start: int, before: Place) -> Head | None:
        if self.mark is None:
            return None
        head = decode_head(self._window.bytes(start, HEAD_BYTES), self.mark, start)
        return head if head is not None and (head.commit, head.first_position) == before else None

    def as_it_is_now(self, stretch: Stretch) -> Stretch:
        """A frame that was not whole when it was looked at may be by now."""
        if not stretch.why:
            return stretch
        return self.frame(stretch.start, stretch.before, again=True) or stretch

    def following(self, start: int, before: Place, after: Place | None) -> tuple[int, Place] | None:
        """Where behind a frame at `start` that is not whole the next one stands, and its place."""
        head = self._head(start, before)
        if head is not None:
            # What it says of its length is true, so nothing within it is a head. It may reach past the end.
            start += head.frame_bytes
            before = Place(before.commit + 1, before.position + head.records)
        found = self._behind(start, before, after)
        while head is None and found is not None and found[1] == before:
            # Cut off, or whole by now.
            found = self._behind(found[0] + 1, before, after)
        return found

    def _behind(self, start: int, before: Place, after: Place | None) -> tuple[int, Place] | None:
        """Where from `start` on the next whole head stands that can be one of this log, and its place in it."""
        if self.mark is None:
            return None
        data = os.pread(self._file, max(0, self.size - start), start)
        at = next_head(data, 0, self.mark, start)
        while at >= 0:
            head = decode_head(data[at : at + HEAD_BYTES], self.mark, start + at)
            assert head is not None, "it was just found"
            place = Place(head.commit, head.first_position)
            if _fit(before, place, at) and (after is None or _may_follow(after, place)) and place != after:
                return start + at, place
            at = next_head(data, at + 1, self.mark, start)
        return None

    def is_unfinished(self, stretch: Stretch) -> bool:
        """Whether it is a frame that is not whole, and the beginning of no other stands behind it."""
        broken = stretch.body is None or any(map(fault_of, self.batches(stretch)))
        return broken and self._behind(stretch.end, stretch.after, None) is None

    def unfinished(self, start: int) -> int:
        """How many bytes from `start` on are more than room for what will come."""
        return len(os.pread(self._file, max(0, self.size - start), start).rstrip(b"\0"))


def _may_follow(place: Place, before: Place) -> bool:
    """Whether a frame may have the one place where the next must have the other, if some are missing between."""
    if place.commit == before.commit:
        return place.position == before.position
    return place.commit > before.commit and place.position >= before.position


def _fit(before: Place, place: Place, size: int) -> bool:
    """Whether what is missing between two places can have been so many bytes."""
    commits, records = place.commit - before.commit, place.position - before.position
    return _may_follow(place, before) and commits * HEAD_BYTES + records * _RECORD_BYTES_MIN <= size


def _body_of(head: Head, data: bytes) -> tuple[Body | None, str]:
    """Raises `UnreadableBodyError`."""
    try:
        body = decode_body(head, data)
    except UnreadableBodyError:
        raise
    except ValueError as error:
        return None, str(error)
    if sum(count for _, count, *_ in body.batches) != head.records:
        return None, f"it does not hold {head.records} records"
    if sum(length for *_, length, _ in body.batches) != head.blobs_bytes:
        return None, "its batches are not as long as it says"
    return body, ""
