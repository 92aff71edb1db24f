"""Text in other encodings: values are UTF-8, and every place can be found again."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError
from engine.sources import byte_stream
from engine.sources.lines import lines
from engine.sources.protocol import SourceStart
from engine.sources.unreadable import Unreadable
from tests.support.sources import batches, numbered

TEXT = "Zoë\r\n\r\nJosé 😀\r\n€uro"
LINES = [(1, "Zoë"), (3, "José 😀"), (4, "€uro")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input"


def decoded(path: Path, encoding: str | None = None) -> list[tuple[int, str]]:
    return [(n, value.decode()) for n, value in numbered(batches(lines(path, encoding=encoding)))]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_mark_in_front_tells_the_encoding(path: Path, encoding: str, packed: bool) -> None:
    raw = TEXT.encode(encoding)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert decoded(path) == LINES


def test_the_mark_of_utf_16_in_either_order_of_bytes_is_heard(path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        path.write_bytes(f"\ufeff{TEXT}".encode(encoding))
        assert decoded(path) == decoded(path, "utf-16") == decoded(path, encoding) == LINES


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "gb18030", "utf-7"])
def test_an_encoding_without_a_mark_is_believed(path: Path, encoding: str) -> None:
    path.write_bytes(TEXT.encode(encoding))
    assert decoded(path, encoding) == LINES


def test_an_old_encoding_is_believed(path: Path) -> None:
    text = "id,name\r\n1,Zoë\r\n2,José\r\n"
    path.write_bytes(text.encode("cp1252"))
    assert decoded(path, "windows-1252") == [(1, "id,name"), (2, "1,Zoë"), (3, "2,José")]


def test_a_line_that_is_none_of_its_encoding_is_unreadable_and_the_others_are_right(path: Path) -> None:
    path.write_bytes(b"Zo\xeb\nbad \x81\nJos\xe9\n")
    found = numbered(batches(lines(path, encoding="windows-1252")))
    assert [found[0], found[2]] == [(1, "Zoë".encode()), (3, "José".encode())]
    unreadable = found[1][1]
    assert isinstance(unreadable, Unreadable)
    assert "input, line 2: it is no cp1252 text: 'bad " in unreadable.reason


def test_half_a_character_at_the_end_is_unreadable(path: Path) -> None:
    path.write_bytes(TEXT.encode("utf-16") + b"\x41")
    found = numbered(batches(lines(path)))
    assert [n for n, _ in found] == [1, 3, 4]
    assert isinstance(found[2][1], Unreadable)


@pytest.mark.parametrize(
    ("raw", "encoding", "said"),
    [
        (
            "id,name\r\n1,Zoë\r\n".encode("utf-16-le"),
            None,
            "looks like UTF-16-LE without .* set encoding: utf-16-le",
        ),
        ("id,name\r\n1,Zoë\r\n".encode("utf-16-be"), None, "looks like UTF-16-BE"),
        ("Zoë".encode("utf-16"), "latin-1", "begins with the mark of UTF-16-LE, and encoding says iso8859-1"),
        ("Zoë".encode("utf-8-sig"), "cp1252", "begins with the mark of UTF-8, and encoding says cp1252"),
    ],
    ids=["le", "be", "marked", "marked as UTF-8"],
)
def test_an_encoding_that_cannot_be_meant_is_refused(path: Path, raw: bytes, encoding: str | None, said: str) -> None:
    path.write_bytes(raw)
    with pytest.raises(ConfigurationError, match=said):
        lines(path, encoding=encoding).check()


@pytest.mark.parametrize("encoding", ["nothing", "", "base64", "rot13", "undefined", "utf-16\0"])
def test_an_encoding_that_python_does_not_know_as_one_of_text_is_refused(path: Path, encoding: str) -> None:
    with pytest.raises(ConfigurationError, match="encoding must be one that Python knows"):
        lines(path, encoding=encoding)


def test_lines_that_end_as_on_an_old_mac_are_lines(path: Path) -> None:
    path.write_bytes(b"one\r\rthree\rfour")
    found = batches(lines(path))
    assert numbered(found) == [(1, b"one"), (3, b"three"), (4, b"four")]
    for batch in found:
        again = numbered(batches(lines(path), SourceStart(batch.last_offset, batch.cursor)))
        assert again == [(n, value) for n, value in numbered(found) if n > batch.last_offset]


def test_where_there_is_a_line_feed_a_lone_return_is_text(path: Path) -> None:
    path.write_bytes(b"10%\r20%\rdone\nnext\n")
    assert numbered(batches(lines(path))) == [(1, b"10%\r20%\rdone"), (2, b"next")]


@settings(deadline=None, max_examples=60)
@given(
    content=st.lists(st.text("aé€😀\r", max_size=6), max_size=30),
    encoding=st.sampled_from(["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "gb18030", "shift_jis", "iso2022_jp"]),
    size=st.integers(1, 5),
    block=st.sampled_from([1, 3, 7, 64, 256 * 1024]),
    gzipped=st.booleans(),
)
def test_a_restart_behind_any_batch_of_any_encoding_reads_what_the_first_run_read_after_it(
    tmp_path_factory: pytest.TempPathFactory, content: list[str], encoding: str, size: int, block: int, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "encoded"
    raw = "\n".join([*content, ""]).encode(encoding, "ignore")
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    given_encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_stream, "BLOCK_BYTES", block)
        found = batches(lines(path, encoding=given_encoding), size=size)
        everything = numbered(found)
        expected = raw.decode(encoding).split("\n")
        expected = [line.removesuffix("\r") for line in expected]
        assert everything == [(n, line.encode()) for n, line in enumerate(expected, 1) if line]
        for batch in found:
            for cursor in (batch.cursor, None):
                start = SourceStart(batch.last_offset, cursor)
                again = numbered(batches(lines(path, encoding=given_encoding), start, size))
                assert again == [(n, value) for n, value in everything if n > batch.last_offset]
