"""Opens a row of segments: finds its end, and hands over what the database has not got yet."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.core.errors import DataFolderError
from engine.log.codec import checksum_of
from engine.log.local.floor import Floor
from engine.log.local.format import (
    HEAD_BYTES,
    MARK_BYTES,
    SEGMENT_HEADER_BYTES,
    Body,
    Head,
    UnreadableBodyError,
    decode_body,
    decode_head,
)
from engine.log.local.segment import Segment, heads_of, is_zeros, next_frame
from engine.log.local.window import Window

log = logging.getLogger("penstock.log")

# Called for each frame, with where it lies in its segment.
Found = Callable[[Head, Body, int], None]
_SEE = "bring it back from a copy, or see `penstock log verify`"


@dataclass(slots=True, kw_only=True)
class End:
    """The last commit and position of a log, and where the next frame belongs: `offset` in the last segment.

    None where nothing can follow in it, 0 where it was never begun: not even its header is whole.
    """

    commit: int
    position: int
    offset: int | None = None
    # Of the last segment, where it was found out.
    mark: bytes | None = None


class Replay:
    """Reads frames behind `applied`, which is what the database says of itself.

    A frame that is not whole at the very end was being written when everything stopped: nobody was told that it is
    stored, and it is cut off by whoever writes on. Damage before whole frames is damage: what was changed there is
    lost, and `DataFolderError` says where. Without a sync a commit (`synced` false) a crash of the machine leaves holes
    anywhere behind `applied`; the log then ends before the first. `floor`: what was acknowledged, and so is no end that
    was never finished.
    """

    def __init__(self, applied: End, *, floor: Floor, synced: bool, found: Found) -> None:
        self._end = applied
        self._floor = floor
        self._synced = synced
        self._found = found

    def over(self, segments: Sequence[Segment]) -> End:
        """`segments` in order, from the first one that is there."""
        end, floor = self._end, self._floor
        if segments[0].first_commit > floor.oldest_commit:
            lost = _range(floor.oldest_position, segments[0].first_position - 1)
            raise DataFolderError(f"{segments[0].path.parent}: its oldest segments are gone, with {lost}; {_SEE}")
        if segments[0].first_commit > end.commit + 1:
            raise self._lost(segments[0])
        begun = max((i for i, s in enumerate(segments) if s.first_commit <= end.commit + 1), default=0)
        for number in range(begun, len(segments)):
            segment, is_last = segments[number], number + 1 == len(segments)
            with segment.opened() as file:
                end.offset = self._over(segment, file, is_last=is_last)
            if not is_last and segments[number + 1].first_commit != end.commit + 1:
                raise self._lost(segment)
        if end.commit < floor.commit:
            raise self._shortened(segments[-1])
        return end

    def _over(self, segment: Segment, file: int, *, is_last: bool) -> int | None:
        """Hands over the frames of a segment that are not applied; returns what `End.offset` says."""
        size, is_new = os.fstat(file).st_size, segment.first_commit == self._end.commit + 1
        mark = segment.mark_in(file) or self._mark_of_applied(file)
        if mark is None:
            # Its header is on the disk before any frame is.
            if not is_zeros(file, SEGMENT_HEADER_BYTES, size) or not (is_new and is_last):
                raise self._lost(segment)
            return 0
        self._end.mark = mark
        if is_new:
            start: int | None = SEGMENT_HEADER_BYTES
        else:
            start = self._behind_applied(segment, file, mark, size, is_last=is_last)
        return None if start is None else self._read(segment, file, mark, start, size, is_last=is_last)

    def _mark_of_applied(self, file: int) -> bytes | None:
        """Where neither header nor first frame say the mark, the last one does of which the database says the place."""
        offset = self._end.offset
        if not offset:
            return None
        data = os.pread(file, HEAD_BYTES, offset)
        head = decode_head(data, data[:MARK_BYTES], offset)
        return data[:MARK_BYTES] if head is not None and head.commit == self._end.commit else None

    def _behind_applied(self, segment: Segment, file: int, mark: bytes, size: int, *, is_last: bool) -> int | None:
        """Where the frames begin that are not applied; None where no frame behind the applied ones can be found."""
        end = self._end
        if end.offset is not None:
            head = decode_head(os.pread(file, HEAD_BYTES, end.offset), mark, end.offset)
            if head is not None and head.commit == end.commit and end.offset + head.frame_bytes <= size:
                self._check_history(segment, head)
                return end.offset + head.frame_bytes
        is_damaged = False
        for offset, head in heads_of(
            file, mark, SEGMENT_HEADER_BYTES, size, segment.first_commit, segment.first_position
        ):
            if head is None:
                is_damaged = True
            elif head.commit == end.commit and offset + head.frame_bytes <= size:
                return offset + head.frame_bytes
            elif head.commit > end.commit:
                return offset
        if is_last and not is_damaged:
            raise DataFolderError(
                f"{segment.path}: the log ends before commit {end.commit}, which the state beside it knows; {_SEE}"
            )
        return None

    def _read(self, segment: Segment, file: int, mark: bytes, start: int, size: int, *, is_last: bool) -> int:
        """Hands the frames over; returns where they end."""
        end, window, offset = self._end, Window(file, bytes_ahead=1 << 20), start
        while offset < size:
            head = decode_head(window.bytes(offset, HEAD_BYTES), mark, offset)
            if head is None or head.commit != end.commit + 1 or head.first_position != end.position + 1:
                if not is_zeros(file, offset, size):
                    self._broken(segment, file, mark, offset, offset, size, is_last=is_last)
                return offset
            behind = offset + head.frame_bytes
            try:
                body = _body_of(head, window, offset) if behind <= size else None
            except UnreadableBodyError as error:
                raise self._unreadable(segment, head, error) from error
            if body is None:
                self._broken(segment, file, mark, offset, behind, size, is_last=is_last)
                return offset
            # Where frames follow, its changes count all the same: who reads the damaged records will hear of it.
            if is_last and not _are_whole(body, window, offset) and self._is_end(file, mark, behind, size):
                self._broken(segment, file, mark, offset, behind, size, is_last=True)
                return offset
            self._check_history(segment, head)
            self._found(head, body, offset)
            end.commit = head.commit
            end.position += head.records
            offset = behind
        return offset

    def _broken(
        self, segment: Segment, file: int, mark: bytes, offset: int, behind: int, size: int, *, is_last: bool
    ) -> None:
        """Passes over an end that was never finished. Raises `DataFolderError` for anything else."""
        if not is_last:
            # What is missing, if anything is, shows where the next segment begins.
            return
        behind = max(behind, offset + 1)
        if not self._is_end(file, mark, behind, size):
            raise self._lost(segment)
        if self._end.commit < self._floor.commit:
            raise self._shortened(segment)
        if not self._follows(file, mark, behind, size):
            log.info(
                "%s: a commit that was not finished is cut off, %d bytes from %d on",
                segment.path,
                size - offset,
                offset,
            )
        else:
            log.warning(
                "%s: the machine stopped without a sync; what is not whole is cut off, %d bytes from %d on",
                segment.path,
                size - offset,
                offset,
            )

    def _is_end(self, file: int, mark: bytes, behind: int, size: int) -> bool:
        return not self._synced or not self._follows(file, mark, behind, size)

    def _follows(self, file: int, mark: bytes, behind: int, size: int) -> bool:
        """Whether there is a frame from `behind` on that is later than the one that is not whole."""
        return next_frame(file, mark, behind - 1, size, self._end.commit + 2, 0) is not None

    def _check_history(self, segment: Segment, head: Head) -> None:
        floor = self._floor
        if head.commit == floor.commit and floor.checksum not in (0, head.body_checksum):
            raise DataFolderError(
                f"{segment.path}: commit {head.commit} is another one than was acknowledged; the files beside each "
                "other are of different copies, bring all of the folder back from one"
            )

    def _shortened(self, segment: Segment) -> DataFolderError:
        end, floor = self._end, self._floor
        lost = _range(end.position + 1, floor.position)
        text = f"the log ends at position {end.position}, and what was acknowledged behind it is gone ({lost})"
        return DataFolderError(f"{segment.path}: {text}; {_SEE}")

    def _lost(self, segment: Segment) -> DataFolderError:
        return DataFolderError(
            f"{segment.path}: the log is damaged behind position {self._end.position}, and the state does not have "
            "yet what was changed there; see `penstock log verify`"
        )

    def _unreadable(self, segment: Segment, head: Head, error: Exception) -> DataFolderError:
        return DataFolderError(
            f"{segment.path}: commit {head.commit} behind position {self._end.position} is whole, and cannot be read: "
            f"{error}; it was written by another version, or is a fault of this one"
        )


def _range(first: int, last: int) -> str:
    """Of what is lost with these positions; without any it is changes alone."""
    return "changes" if last < first else f"position {first}" if last == first else f"positions {first} to {last}"


def _body_of(head: Head, window: Window, offset: int) -> Body | None:
    """None where it is damaged. Raises `UnreadableBodyError`."""
    try:
        return decode_body(head, window.bytes(offset + HEAD_BYTES, head.body_bytes))
    except UnreadableBodyError:
        raise
    except ValueError:
        return None


def _are_whole(body: Body, window: Window, offset: int) -> bool:
    return all(
        checksum_of(window.bytes(offset + start, length), position, count, kinds) == checksum
        for position, count, _, _, checksum, start, length, kinds in body.batches
    )
