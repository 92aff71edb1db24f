"""Goes through the frames of a segment one after the other, and says where there is none that can be read.

Beside a running engine too: what is not whole when it is looked at, but has something whole behind it, is looked at
once more, for a frame is only begun when the one before it is whole. No look takes more for lost than the bytes there
could have held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.log.local.format import SEGMENT_HEADER_BYTES
from engine.log.local.segment_file import Place, SegmentFile, Stretch

_NO_HEAD = "there is no commit where one must be"
_NO_MARK = "nothing in its segment says what a commit begins with"
_NO_HEADER = "the header of its segment is damaged"


@dataclass(frozen=True, slots=True)
class Tail:
    """What stands behind the last whole frame of a log: so many bytes of one that is not whole, mostly none."""

    unfinished_bytes: int


def walk(file: SegmentFile, begin: Place, after: Place | None, reached: Place) -> Iterator[Stretch | Tail]:
    """All of a segment that begins with `begin`, in order and without a gap.

    `after` is where the next segment begins; None for the last one, which ends with a `Tail`. Up to `reached` the log
    is known to have been whole: what is not there of it is missing, behind it it was never finished.
    """
    at, place = SEGMENT_HEADER_BYTES, begin
    if file.mark is None:
        yield _without_mark(file, begin, after, reached)
        return
    if not file.has_header:
        yield Stretch(start=0, end=at, before=begin, after=begin, head=None, body=None, why=_NO_HEADER)
    held: Stretch | None = None
    while True:
        found = _next(file, at, place, after) if place != after else None
        if held is not None:
            if found is None and after is None and held.before.commit >= reached.commit and file.is_unfinished(held):
                yield Tail(file.unfinished(held.start))
                return
            if found is None and after is None:
                # Something was begun behind it meanwhile.
                found = _next(file, at, place, after)
            yield file.as_it_is_now(held)
        if found is None:
            break
        held, at, place = found, found.end, found.after
    if after is not None:
        if place != after:
            yield gap(at, place, max(at, file.size), after)
    elif place.commit < reached.commit:
        yield gap(at, place, max(at, file.size), Place(reached.commit, max(place.position, reached.position)))
    else:
        yield Tail(file.unfinished(at))


def _without_mark(file: SegmentFile, begin: Place, after: Place | None, reached: Place) -> Stretch | Tail:
    """Of a segment that cannot be read: whatever of it nobody else knows is lost."""
    if after is None and begin.commit >= reached.commit and not file.unfinished(SEGMENT_HEADER_BYTES):
        # A header is safe before the first frame is begun.
        return Tail(file.unfinished(0))
    is_last, least = after is None, Place(begin.commit + 1, begin.position)
    after = after or max(least, Place(reached.commit, max(reached.position, begin.position)))
    return Stretch(
        start=0, end=file.size, before=begin, after=after, head=None, body=None, why=_NO_MARK, is_unknown=is_last
    )


def _next(file: SegmentFile, at: int, place: Place, after: Place | None) -> Stretch | None:
    """The frame that must begin there, whole or not, or a gap where something whole stands further behind."""
    found = file.frame(at, place)
    if found is not None and not found.why:
        return found
    following = file.following(at, place, after)
    found = file.frame(at, place, again=True)
    return gap(at, place, *following) if found is None and following is not None else found


def gap(start: int, before: Place, end: int, after: Place) -> Stretch:
    """Where nothing can be read."""
    return Stretch(start=start, end=end, before=before, after=after, head=None, body=None, why=_NO_HEAD)
