"""Goes through the frames of a segment one after the other, and says where there is none that can be read.

Beside a running engine too: what is not whole when it is looked at, but has something whole behind it, is looked at
once more, for a frame is only begun when the one before it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from engine.log.codec import EncodedBatch
from engine.log.findings import fault_of
from engine.log.segment_format import HEAD_BYTES, Body, Head, decode_body, decode_head, next_head
from engine.log.window import Window

_NO_HEAD = "there is no commit where one must be"


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


@dataclass(frozen=True, slots=True)
class Tail:
    """What stands behind the last whole frame of a log: so many bytes of one that is not whole, mostly none."""

    unfinished_bytes: int


class SegmentFile:
    """A segment that is open to be read; a context manager. Raises `FileNotFoundError` when it has been deleted."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._window = Window(self._file)

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

    # -- frames ---

    def frame(self, start: int, before: Place, *, again: bool = False) -> Stretch | None:
        """The frame that must begin at `start`; None where there is no whole head, or it is cut off."""
        if again:
            self._window = Window(self._file)
        head = decode_head(self._window.bytes(start, HEAD_BYTES))
        if head is None or (head.commit, head.first_position) != before:
            return None
        end = start + head.frame_bytes
        if end > self.size:
            return None
        body, why = _body_of(head, self._window.bytes(start + HEAD_BYTES, head.body_bytes))
        after = Place(before.commit + 1, before.position + head.records)
        return Stretch(start=start, end=end, before=before, after=after, head=head, body=body, why=why)

    def behind(self, start: int, before: Place, after: Place | None) -> tuple[int, Place] | None:
        """Where from `start` on the next whole head stands that can be one of this log, and its place in it."""
        data = os.pread(self._file, max(0, self.size - start), start)
        at = next_head(data, 0)
        while at >= 0:
            head = decode_head(data[at : at + HEAD_BYTES])
            assert head is not None
            place = Place(head.commit, head.first_position)
            if _may_follow(place, before) and (after is None or _may_follow(after, place)) and place != after:
                return start + at, place
            at = next_head(data, at + 1)
        return None

    def is_unfinished(self, stretch: Stretch) -> bool:
        """Whether it is a frame that is not whole, and the beginning of no other stands behind it."""
        broken = stretch.body is None or any(map(fault_of, self.batches(stretch)))
        return broken and self.behind(stretch.end, stretch.after, None) is None

    def unfinished(self, start: int) -> int:
        """How many bytes from `start` on are more than room for what will come."""
        return len(os.pread(self._file, max(0, self.size - start), start).rstrip(b"\0"))


def walk(file: SegmentFile, begin: Place, after: Place | None, reached: Place) -> Iterator[Stretch | Tail]:
    """All of a segment that begins with `begin`, in order and without a gap.

    `after` is where the next segment begins; None for the last one, which ends with a `Tail`. Up to `reached` the log
    is known to have been whole: what is not there of it is missing, behind it it was never finished.
    """
    at, place = 0, begin
    held: Stretch | None = None
    while place != after:
        found = file.frame(at, place)
        if found is None or found.why:
            following = file.behind(at, place, after) if found is None else file.behind(found.end, found.after, after)
            while following is not None and following[1] == place:
                # Cut off, or whole by now.
                following = file.behind(following[0] + 1, place, after)
            found = file.frame(at, place, again=True)
            if found is None and following is not None:
                found = gap(at, place, *following)
        if found is None:
            break
        if held is not None:
            yield held
        held, at, place = found, found.end, found.after
    if after is not None:
        if held is not None:
            yield held
        if place != after:
            yield gap(at, place, max(at, file.size), after)
        return
    if held is not None:
        if held.before.commit >= reached.commit and file.is_unfinished(held):
            yield Tail(file.unfinished(held.start))
            return
        yield held
    if place.commit < reached.commit:
        yield gap(at, place, max(at, file.size), Place(reached.commit, max(place.position, reached.position)))
        return
    yield Tail(file.unfinished(at))


def gap(start: int, before: Place, end: int, after: Place) -> Stretch:
    """Where nothing can be read."""
    return Stretch(start=start, end=end, before=before, after=after, head=None, body=None, why=_NO_HEAD)


def _may_follow(place: Place, before: Place) -> bool:
    """Whether a frame may have the one place where the next must have the other, if some are missing between."""
    if place.commit == before.commit:
        return place.position == before.position
    return place.commit > before.commit and place.position >= before.position


def _body_of(head: Head, data: bytes) -> tuple[Body | None, str]:
    try:
        body = decode_body(head, data)
    # Whatever damaged bytes make a decoder say, they are damaged.
    except Exception as error:
        return None, str(error)
    if sum(count for _, count, *_ in body.batches) != head.records:
        return None, f"it does not hold {head.records} records"
    if sum(length for *_, length, _ in body.batches) != head.blobs_bytes:
        return None, "its batches are not as long as it says"
    return body, ""
