import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError, PenstockError
from engine.sources.lines import lines
from engine.sources.protocol import SourceStart
from engine.sources.unreadable import Unreadable
from tests.support.sources import BEGINNING, batches, numbered

MakeFile = Callable[[bytes], Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeFile:
    def write(content: bytes) -> Path:
        path = tmp_path / "input"
        path.write_bytes(content)
        return path

    return write


def test_offsets_are_line_numbers_from_1_and_values_are_bytes_without_the_line_end(make: MakeFile) -> None:
    assert numbered(batches(lines(make(b"one\ntwo\nthree\n")))) == [(1, b"one"), (2, b"two"), (3, b"three")]


def test_a_last_line_without_an_end_is_a_line(make: MakeFile) -> None:
    assert numbered(batches(lines(make(b"one\ntwo")))) == [(1, b"one"), (2, b"two")]


def test_windows_line_ends_are_no_part_of_the_value(make: MakeFile) -> None:
    assert numbered(batches(lines(make(b"one\r\n\r\nthree\r\n")))) == [(1, b"one"), (3, b"three")]


def test_empty_lines_are_counted_and_give_no_value(make: MakeFile) -> None:
    assert numbered(batches(lines(make(b"\n\nthree\n\nfive\n\n\n")))) == [(3, b"three"), (5, b"five")]


def test_a_line_of_blanks_is_a_value_for_the_transforms_to_judge(make: MakeFile) -> None:
    assert numbered(batches(lines(make(b"one\n  \n")))) == [(1, b"one"), (2, b"  ")]


def test_an_empty_file_ends_at_once(make: MakeFile) -> None:
    source = lines(make(b""))
    source.open(BEGINNING)
    assert source.read(10) is None


def test_a_byte_order_mark_is_no_part_of_the_first_line(make: MakeFile) -> None:
    source = lines(make(b"\xef\xbb\xbfone\ntwo\n"))
    first = batches(source, size=1)[0]
    assert first.values == [b"one"]
    assert numbered(batches(source, SourceStart(first.last_offset, first.cursor))) == [(2, b"two")]


def test_lines_longer_than_a_block_come_whole(make: MakeFile) -> None:
    long = b"x" * 700_000
    assert numbered(batches(lines(make(b"a\n" + long + b"\nb\n")))) == [(1, b"a"), (2, long), (3, b"b")]


@pytest.mark.parametrize("length", [11, 300_000, 900_000])
@pytest.mark.parametrize("end", [b"\n", b"\nb\n"], ids=["last", "between"])
def test_a_line_over_the_limit_is_unreadable_and_the_next_one_is_right(make: MakeFile, length: int, end: bytes) -> None:
    source = lines(make(b"a\n" + b"x" * length + end), line_bytes_max=10)
    found = numbered(batches(source))
    assert found[0] == (1, b"a")
    offset, unreadable = found[1]
    assert offset == 2
    assert isinstance(unreadable, Unreadable)
    assert f"input, line 2: it is {length} bytes long" in unreadable.reason
    assert "maxLineBytes (10)" in unreadable.reason
    assert unreadable.excerpt == b"x" * min(length, 200)
    assert found[2:] == ([(3, b"b")] if end != b"\n" else [])


def test_a_line_of_just_the_limit_is_read(make: MakeFile) -> None:
    assert numbered(batches(lines(make(b"x" * 10), line_bytes_max=10))) == [(1, b"x" * 10)]


@settings(deadline=None)
@given(
    content=st.lists(st.sampled_from([b"", b"a", b"bc\r", b"\r", b"  ", b"x" * 9, b"long line"]), max_size=30),
    ended=st.booleans(),
    size=st.integers(1, 7),
    gzipped=st.booleans(),
)
@example(content=[b"a"], ended=False, size=1, gzipped=False)
def test_a_restart_behind_any_batch_reads_exactly_what_the_first_run_read_after_it(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes], ended: bool, size: int, gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "restarts"
    raw = b"\n".join(content) + (b"\n" if ended and content else b"")
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    all_batches = batches(lines(path, line_bytes_max=8), size=size)
    everything = numbered(all_batches)
    stripped = [line.rstrip(b"\r") for line in content]
    assert [(n, len(v) if isinstance(v, bytes) else 9) for n, v in everything] == [
        (n, len(line)) for n, line in enumerate(stripped, start=1) if line
    ]
    for batch in all_batches:
        # With the cursor, and without it as after a cut in the middle of a batch.
        for start in (SourceStart(batch.last_offset, batch.cursor), SourceStart(batch.last_offset, None)):
            again = numbered(batches(lines(path, line_bytes_max=8), start, size=size))
            assert again == [(n, v) for n, v in everything if n > batch.last_offset]


def test_a_plain_file_that_grew_by_whole_lines_is_continued(make: MakeFile) -> None:
    path = make(b"one\n")
    (batch,) = batches(lines(path))[:1]
    with path.open("ab") as file:
        file.write(b"two\n")
    assert numbered(batches(lines(path), SourceStart(batch.last_offset, batch.cursor))) == [(2, b"two")]


@pytest.mark.parametrize("now", [b"other content\n", b"x\n"], ids=["rewritten", "shorter"])
def test_a_file_that_was_replaced_is_refused_by_name(make: MakeFile, now: bytes) -> None:
    path = make(b"one\ntwo\nthree\n")
    batch = batches(lines(path), size=2)[0]
    path.write_bytes(now)
    with pytest.raises(PenstockError, match="is not the file that was read before: line 3 does not begin at byte 8"):
        lines(path).open(SourceStart(batch.last_offset, batch.cursor))


def test_a_file_with_fewer_lines_than_were_read_is_refused(make: MakeFile) -> None:
    with pytest.raises(PenstockError, match="it has 1 lines, and 5 were read"):
        lines(make(b"one\n")).open(SourceStart(5, None))


def test_a_missing_file_is_a_configuration_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.ndjson: no such file"):
        lines(tmp_path / "nothing.ndjson").check()


def test_a_folder_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a file"):
        lines(tmp_path).check()


def test_the_limit_on_lines_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="maxLineBytes must be at least 1, not 0"):
        lines(tmp_path, line_bytes_max=0)


@pytest.mark.parametrize("size", range(1, 8))
def test_no_batch_reaches_further_than_it_was_asked_to_although_empty_lines_lie_between(
    make: MakeFile, size: int
) -> None:
    path = make(b"one\n\n\n\nfive\nsix\n\neight\n")
    # `batches` checks the reach of each.
    assert [n for n, _ in numbered(batches(lines(path), size=size))] == [1, 5, 6, 8]
