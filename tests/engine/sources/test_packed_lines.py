"""Packed files: whatever the packing, its lines are those of the text; of a damaged one, all that can be had."""

from __future__ import annotations

import bz2
import gzip
import itertools
import logging
import lzma
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError, DamagedInputError, PenstockError
from engine.sources import byte_stream
from engine.sources.lines import lines
from engine.sources.packings import zstd
from engine.sources.protocol import SourceBatch, SourceStart
from tests.support.sources import BEGINNING, batches, numbered

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
EACH_PACKING = pytest.mark.parametrize("packing", PACKINGS)
TEXT = b"".join(b'{"n": %d}\n' % n for n in range(1000))
SKIPPABLE = b"\x50\x2a\x4d\x18\x05\x00\x00\x00index"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input"


def read_up_to_damage(path: Path, start: SourceStart = BEGINNING) -> tuple[list[SourceBatch], str | None]:
    """What comes before the source raises, and what it says."""
    source = lines(path)
    found: list[SourceBatch] = []
    try:
        source.open(start)
        while (batch := source.read(100)) is not None:
            found += [batch] if batch.values else []
    except DamagedInputError as error:
        return found, str(error)
    finally:
        source.close()
    return found, None


def text_of(found: list[SourceBatch]) -> bytes:
    return b"".join(value + b"\n" for _, value in numbered(found))


@EACH_PACKING
def test_it_is_told_by_the_first_bytes_whatever_the_name(path: Path, packing: str) -> None:
    path.write_bytes(PACKINGS[packing](b"one\ntwo\n"))
    assert numbered(batches(lines(path))) == [(1, b"one"), (2, b"two")]


@EACH_PACKING
def test_one_member_behind_the_other_is_one_text_and_zeros_behind_them_are_nothing(path: Path, packing: str) -> None:
    pack = PACKINGS[packing]
    # A line that begins in one and ends in the next, one that is empty, and padding as tapes and disks have it.
    path.write_bytes(pack(b"one\ntw") + pack(b"o\n") + pack(b"") + bytes(512) + pack(b"three\n") + bytes(4096))
    assert numbered(batches(lines(path))) == [(1, b"one"), (2, b"two"), (3, b"three")]


def test_frames_of_zstd_that_carry_no_text_are_passed_over(path: Path) -> None:
    path.write_bytes(SKIPPABLE + zstd.compress(b"one\n") + SKIPPABLE + zstd.compress(b"two\n") + SKIPPABLE)
    assert numbered(batches(lines(path))) == [(1, b"one"), (2, b"two")]


@EACH_PACKING
def test_rubbish_behind_the_last_member_is_passed_over_with_a_word(
    path: Path, packing: str, caplog: pytest.LogCaptureFixture
) -> None:
    packed = PACKINGS[packing](TEXT)
    path.write_bytes(packed + b"rubbish")
    with caplog.at_level(logging.WARNING, "penstock.source"):
        assert text_of(batches(lines(path))) == TEXT
    assert f"behind its {packing}, from byte {len(packed)} on, is passed over" in caplog.text


@EACH_PACKING
def test_a_cut_file_gives_all_whole_lines_in_front_of_the_cut_and_then_says_so(path: Path, packing: str) -> None:
    whole = PACKINGS[packing](random.Random(1).randbytes(400_000).hex("\n", 40).encode() + b"\n")
    path.write_bytes(whole[: len(whole) * 9 // 10])
    found, said = read_up_to_damage(path)
    lines_found = numbered(found)
    assert said is not None
    assert f"cannot be read behind line {len(lines_found)}: its {packing} is cut off" in said
    # xz and bzip2 give whole blocks, of up to 900 kB.
    assert len(lines_found) > 5000 or packing in ("bzip2", "xz")


@EACH_PACKING
def test_a_file_that_was_completed_goes_on_behind_what_was_read_of_its_beginning(path: Path, packing: str) -> None:
    pack = PACKINGS[packing]
    whole = pack(TEXT) + pack(b"one more\n" * 3)
    path.write_bytes(whole[:-4])
    found, said = read_up_to_damage(path)
    assert said is not None
    path.write_bytes(whole)
    last = found[-1]
    rest = batches(lines(path), SourceStart(last.last_offset, last.cursor))
    assert text_of(found) + text_of(rest) == TEXT + b"one more\n" * 3


@pytest.mark.skipif(shutil.which("zcat") is None, reason="zcat is not here")
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["cut", "flip", "rubbish"]))
def test_no_line_that_zcat_gives_of_a_damaged_gzip_is_missing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    made = random.Random(seed)
    text = b"".join(b"%d %s\n" % (n, made.randbytes(made.randrange(30)).hex().encode()) for n in range(2000))
    packed = bytearray(b"".join(gzip.compress(text[i : i + 40_000]) for i in range(0, len(text), 40_000)))
    at = made.randrange(20, len(packed))
    if kind == "cut":
        del packed[at:]
    elif kind == "flip":
        packed[at] ^= 1 << made.randrange(8)
    else:
        packed += made.randbytes(100).lstrip(b"\0\x1f")
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(packed)
    zcat = subprocess.run(["zcat", path], capture_output=True, check=False)
    # What was flipped may have become a line end.
    whole = [line.removesuffix(b"\r") for line in zcat.stdout.split(b"\n")[:-1] if line.strip(b"\r")]
    found, said = read_up_to_damage(path)
    ours = [value for _, value in numbered(found)]
    # Where zlib finds what cannot be, gzip may go on with what happens to stand in its window.
    shared = len(whole) if kind != "flip" else min(len(whole), len(ours))
    assert ours[:shared] == whole[:shared]
    assert (said is None) == (zcat.returncode in (0, 2)), (said, zcat.returncode, zcat.stderr)


@EACH_PACKING
def test_a_damaged_checksum_costs_no_line_in_front_of_it(path: Path, packing: str) -> None:
    packed = bytearray(PACKINGS[packing](TEXT))
    if packing == "zstd":
        packed = bytearray(zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}))
    packed[-5 if packing == "gzip" else -1] ^= 0xFF
    path.write_bytes(packed)
    found, said = read_up_to_damage(path)
    assert said is not None
    if packing == "gzip":
        assert text_of(found) == TEXT


@settings(deadline=None, max_examples=60)
@given(
    packing=st.sampled_from(list(PACKINGS)),
    content=st.lists(st.sampled_from([b"", b"a", b"bc\r", b"long line", b"x" * 300]), max_size=40),
    cuts=st.lists(st.integers(0, 2000), max_size=5),
    size=st.integers(1, 7),
    block=st.sampled_from([7, 100, 256 * 1024]),
)
def test_a_restart_behind_any_batch_of_any_members_reads_what_the_first_run_read_after_it(
    tmp_path_factory: pytest.TempPathFactory, packing: str, content: list[bytes], cuts: list[int], size: int, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "members"
    raw = b"\n".join(content)
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    parts = [raw[a:b] for a, b in itertools.pairwise(places)] or [b""]
    path.write_bytes(b"".join(map(PACKINGS[packing], parts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_stream, "BLOCK_BYTES", block)
        found = batches(lines(path), size=size)
        everything = numbered(found)
        assert [n for n, _ in everything] == [n for n, line in enumerate(content, 1) if line.strip(b"\r")]
        for batch in found:
            for cursor in (batch.cursor, None):
                again = numbered(batches(lines(path), SourceStart(batch.last_offset, cursor), size))
                assert again == [(n, value) for n, value in everything if n > batch.last_offset]


def test_a_restart_reads_no_member_in_front_of_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [gzip.compress(b"%d %s\n" % (n, random.Random(n).randbytes(50_000).hex().encode())) for n in range(20)]
    path.write_bytes(b"".join(members))
    batch = batches(lines(path), size=1)[17]
    # What lies in front cannot be read any more, but for the beginning that tells the packing.
    path.write_bytes(members[0] + bytes(sum(map(len, members[1:17]))) + b"".join(members[17:]))
    again = numbered(batches(lines(path), SourceStart(batch.last_offset, batch.cursor)))
    assert [n for n, _ in again] == [19, 20]


def test_a_plain_file_that_was_packed_meanwhile_goes_on_where_it_stood(path: Path) -> None:
    path.write_bytes(TEXT)
    batch = batches(lines(path), size=10)[3]
    path.write_bytes(gzip.compress(TEXT))
    again = numbered(batches(lines(path), SourceStart(batch.last_offset, batch.cursor)))
    assert again[0] == (41, b'{"n": 40}')


def test_a_packed_file_that_was_replaced_is_refused(path: Path) -> None:
    path.write_bytes(gzip.compress(TEXT))
    batch = batches(lines(path), size=10)[3]
    for other in (b"another\n", b"x" * 5000):
        path.write_bytes(gzip.compress(other))
        with pytest.raises(PenstockError, match="is not the file that was read before: line 41 does not begin at"):
            lines(path).open(SourceStart(batch.last_offset, batch.cursor))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(gzip.compress(b"one\n")), "is packed twice"),
        (b"PK\x03\x04 and more", "is a ZIP archive, as .xlsx and .ods are"),
        (gzip.compress(b"PAR1 and more"), "is a Parquet file"),
        (b"\x1f\x9d\x90 and more", "is packed by compress"),
        (b"\x04\x22\x4d\x18 and more", "is packed by lz4"),
    ],
    ids=["twice", "xlsx", "packed Parquet", "compress", "lz4"],
)
def test_what_has_no_lines_is_refused_before_anything_runs(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        lines(path).check()


def test_a_text_that_begins_like_a_packing_is_a_text(path: Path) -> None:
    path.write_bytes(b"BZhot news\n(\xb5\n")
    assert numbered(batches(lines(path))) == [(1, b"BZhot news"), (2, b"(\xb5")]


def test_a_gzip_that_blows_up_is_unpacked_a_block_at_a_time(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\n" * 20_000_000 + b"end\n"))
    source: Any = lines(path)
    source.open(BEGINNING)
    longest = 0
    while (batch := source.read(10**9)) is not None:
        longest = max(longest, len(source._splitter._lines))
    assert longest <= byte_stream.BLOCK_BYTES
    assert batch is None
