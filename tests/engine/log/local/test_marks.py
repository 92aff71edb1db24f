"""What a segment begins with, and that nothing a client sends can be taken for a part of the log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import DataFolderError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Unit
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.local.floor import floor_path
from engine.log.local.format import (
    HEAD_BYTES,
    MARK_BYTES,
    MARK_REACH_BYTES,
    SEGMENT_HEADER_BYTES,
    decode_head,
    encode_frame,
    mark_of,
    new_mark,
    next_head,
    read_header,
    segment_header,
)
from engine.log.local.identity import NOWHERE
from engine.log.local.storage import LocalLogStorage
from engine.log.storage import Entry
from tests.engine.log.local.test_storage import entry, frames, killed, segments, turn, values
from tests.support.logs import local_log


def entry_of(first: int, value: Any) -> Entry:
    blob, kinds = encode_batch([Record(RecordType.COMMAND, "t", "create", "k", value)])
    checksum = checksum_of(blob, first, 1, kinds)
    batch = EncodedBatch(first, 1, 1000, WriteSource.USER_COMMAND, checksum, blob, kinds)
    return Entry(Unit(source=WriteSource.USER_COMMAND), batch)


def frame_of_another_log(tmp_path: Path, commit: int) -> bytes:
    """As that one wrote it, with all commits before it."""
    storage = local_log(tmp_path / "other")
    storage.recover()
    for n in range(1, commit + 1):
        storage.commit([entry_of(n, "FORGED")])
    storage.close()
    (file,) = segments(tmp_path / "other")
    start, end = frames(file)[-2:]
    return file.read_bytes()[start:end]


def opened(folder: Path, **options: Any) -> LocalLogStorage:
    storage = local_log(folder, **options)
    storage.recover()
    return storage


def readable(storage: LocalLogStorage, position: int) -> list[Any] | None:
    """The values of the batch there; None where it is damaged."""
    (batch,) = storage.read(position, 1)
    try:
        return [record.value for record in decode_batch(batch).records]
    except ValueError:
        return None


# -- the bytes ---


def test_a_head_is_one_only_with_its_mark_and_in_its_place() -> None:
    mark = new_mark()
    frame = b"".join(encode_frame(7, 70, [entry(70)], mark, 1000))
    assert decode_head(frame[:HEAD_BYTES], mark, 1000) is not None
    assert decode_head(frame[:HEAD_BYTES], mark, 1001) is None
    assert decode_head(frame[:HEAD_BYTES], bytes(MARK_BYTES), 1000) is None
    around = b"x" * 10 + frame
    assert next_head(around, 0, mark, 990) == 10
    assert next_head(around, 0, mark, 991) == -1


def test_a_mark_is_never_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [bytes(MARK_BYTES), b"\0\0\0\0\0\0\0\1"]
    monkeypatch.setattr(os, "urandom", lambda _: given.pop(0))
    assert new_mark() == b"\0\0\0\0\0\0\0\1"


def test_a_header_says_the_mark_and_with_any_other_byte_the_first_head_does() -> None:
    mark = new_mark()
    header, frame = segment_header(mark, NOWHERE), b"".join(encode_frame(1, 1, [entry(1)], mark, SEGMENT_HEADER_BYTES))
    assert read_header(header) == (mark, NOWHERE)
    assert len(header) == SEGMENT_HEADER_BYTES
    assert read_header(header[:-1]) is None
    for at in range(len(header)):
        damaged = bytearray(header)
        damaged[at] ^= 1
        assert read_header(bytes(damaged)) is None
        assert mark_of((bytes(damaged) + frame)[:MARK_REACH_BYTES]) == mark
        assert mark_of(bytes(damaged) + bytes(HEAD_BYTES)) is None


def test_each_segment_has_a_mark_of_its_own(tmp_path: Path) -> None:
    storage = opened(tmp_path / "1", segment_bytes=200)
    for n in range(1, 10):
        storage.commit([entry(n)])
    storage.close()
    marks = {mark_of(file.read_bytes()) for file in segments(tmp_path / "1")}
    assert len(marks) == len(segments(tmp_path / "1")) > 3


# -- what clients send ---


def with_payload(tmp_path: Path, whose: str, later: int) -> tuple[Path, int, int]:
    """A log of three records, the last of which holds a frame; where its own frame begins and ends."""
    storage = opened(tmp_path / "1")
    storage.commit([entry(1, 2, state={"a": b"1"})])
    if whose == "another":
        inside = frame_of_another_log(tmp_path, later)
    else:
        mark = mark_of(segments(tmp_path / "1")[0].read_bytes())
        assert mark is not None
        inside = b"".join(encode_frame(later, later, [entry_of(later, "FORGED")], mark, 10**6))
    storage.commit([entry_of(3, b"x" * 500 + inside + b"y" * 20_000)])
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    (file,) = segments(image)
    start, end = frames(file)[1:]
    assert inside in file.read_bytes()[start:end]
    return image, start, end


@pytest.mark.parametrize("whose", ["another", "this"])
@pytest.mark.parametrize("lost", ["its end", "its end that room was made for", "its beginning"])
def test_a_torn_commit_is_one_whatever_frames_its_records_hold(whose: str, lost: str, tmp_path: Path) -> None:
    image, start, _ = with_payload(tmp_path, whose, 9)
    (file,) = segments(image)
    content = file.read_bytes()
    if lost == "its end":
        file.write_bytes(content[: start + HEAD_BYTES + 4000])
    elif lost == "its end that room was made for":
        file.write_bytes(content[: start + HEAD_BYTES + 4000] + bytes(30_000))
    else:
        file.write_bytes(content[:start] + bytes(200) + content[start + 200 :])
    # Nobody was told that it is stored.
    floor_path(image).unlink()
    storage = local_log(image)
    assert storage.recover().last_position == 2
    storage.commit([entry(3)])
    assert values(storage) == [1, 2, 3]
    storage.close()


@pytest.mark.parametrize("whose", ["another", "this"])
def test_no_record_inside_of_a_record_is_read_where_a_head_is_damaged(whose: str, tmp_path: Path) -> None:
    # The very commit and position that follow, so that only the bytes say that it is none.
    image, start, _ = with_payload(tmp_path, whose, 4)
    storage = opened(image)
    for n in range(4, 12):
        storage.commit([entry(n)])
    storage.close()
    turn(segments(image)[0], start + 5)
    storage = opened(image)
    assert readable(storage, 3) is None
    assert values(storage, 4) == [*range(4, 12)]
    storage.close()


# -- headers ---


@pytest.mark.parametrize("behind", ["nothing", "zeros"])
def test_a_segment_whose_making_was_cut_short_is_made_anew(behind: str, tmp_path: Path) -> None:
    storage = opened(tmp_path / "1", segment_bytes=200)
    for n in range(1, 4):
        storage.commit([entry(n, state={"last": b"%d" % n})])
    begun = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    following = begun / f"{4:020d}-{4:020d}.log"
    header = segment_header(new_mark(), NOWHERE)
    for length in range(SEGMENT_HEADER_BYTES):
        image = killed(begun, tmp_path / f"image-{length}")
        made = image / following.name
        made.write_bytes(header[:length] + (bytes(5000) if behind == "zeros" else b""))
        storage = local_log(image)
        assert storage.recover().last_position == 3
        storage.commit([entry(4)])
        assert storage.state_get("last") == b"3"
        assert values(storage) == [1, 2, 3, 4]
        storage.close()
        storage = opened(image)
        assert values(storage) == [1, 2, 3, 4]
        storage.close()
        assert read_header(made.read_bytes()) is not None


def test_a_damaged_header_harms_nothing_while_the_first_head_is_whole(tmp_path: Path) -> None:
    storage = opened(tmp_path / "1")
    for n in range(1, 6):
        storage.commit([entry(n, state={"last": b"%d" % n})])
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    turn(segments(image)[0], 10)
    storage = opened(image)
    assert storage.state_get("last") == b"5"
    storage.commit([entry(6)])
    assert values(storage) == [*range(1, 7)]
    storage.close()
    assert read_header(segments(image)[0].read_bytes()) is not None, "it was made whole again"


def test_without_header_and_first_head_the_positions_of_a_segment_are_damaged_and_no_other(tmp_path: Path) -> None:
    storage = opened(tmp_path / "1", segment_bytes=400)
    for n in range(1, 21):
        storage.commit([entry(n)])
    storage.close()
    hit = segments(tmp_path / "1")[1]
    first, behind = (int(file.stem.split("-")[1]) for file in segments(tmp_path / "1")[1:3])
    turn(hit, 10)
    turn(hit, SEGMENT_HEADER_BYTES + 10)
    storage = opened(tmp_path / "1")
    assert behind - first > 1
    for position in range(first, behind):
        (batch,) = storage.read(position, 1)
        assert (batch.first_position, batch.last_position) == (first, behind - 1)
        assert readable(storage, position) is None
    assert values(storage, 1, first - 1) == [*range(1, first)]
    assert values(storage, behind) == [*range(behind, 21)]
    storage.close()


def test_an_end_without_header_and_first_head_is_no_torn_one(tmp_path: Path) -> None:
    storage = opened(tmp_path / "1")
    storage.commit([entry(1)])
    storage.commit([entry(2)])
    image = killed(tmp_path / "1", tmp_path / "image")
    storage.close()
    (file,) = segments(image)
    turn(file, 10)
    turn(file, SEGMENT_HEADER_BYTES + 10)
    content = file.read_bytes()
    refused = local_log(image)
    with pytest.raises(DataFolderError, match="damaged behind position 0"):
        refused.recover()
    refused.close()
    assert file.read_bytes() == content


def test_the_last_commit_that_the_database_has_says_the_mark_too(tmp_path: Path) -> None:
    storage = opened(tmp_path / "1")
    for n in range(1, 4):
        storage.commit([entry(n)])
    storage.close()
    (file,) = segments(tmp_path / "1")
    turn(file, 10)
    turn(file, SEGMENT_HEADER_BYTES + 10)
    storage = opened(tmp_path / "1")
    storage.commit([entry(4)])
    storage.close()
    for _ in range(2):
        storage = opened(tmp_path / "1")
        assert readable(storage, 1) is None
        assert values(storage, 2) == [2, 3, 4]
        storage.close()
