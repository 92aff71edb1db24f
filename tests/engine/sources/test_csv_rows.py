import csv
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError, PenstockError
from engine.sources.csv_rows import CsvRows
from engine.sources.lines import lines
from engine.sources.protocol import SourceStart, is_prompt
from engine.sources.standard_input import StandardInput
from engine.sources.unreadable import Unreadable
from tests.support.pipelines import ListSource
from tests.support.sources import batches, numbered

MakeFile = Callable[[bytes], Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeFile:
    def write(content: bytes) -> Path:
        path = tmp_path / "rows.csv"
        path.write_bytes(content)
        return path

    return write


def rows(path: Path, start: SourceStart | None = None, size: int = 1000, **options: Any) -> list[tuple[int, Any]]:
    source = lines(path, format="csv", **options)
    return numbered(batches(source, start or SourceStart(0, None), size))


def test_a_row_is_a_dictionary_of_text_under_the_names_of_the_header(make: MakeFile) -> None:
    path = make(b"name,age\nAnn,31\nBo,\n")
    assert rows(path) == [(2, {"name": "Ann", "age": "31"}), (3, {"name": "Bo", "age": ""})]


def test_quotes_delimiters_and_line_ends_inside_quotes_are_text(make: MakeFile) -> None:
    path = make(b'a,b\n"x, ""y""",1\n"one\r\n\r\ntwo",2\nlast,3\n')
    assert rows(path) == [
        (2, {"a": 'x, "y"', "b": "1"}),
        (5, {"a": "one\n\ntwo", "b": "2"}),
        (6, {"a": "last", "b": "3"}),
    ]


def test_rows_come_as_promptly_as_the_lines_they_are_made_of(make: MakeFile) -> None:
    assert is_prompt(lines(make(b"a\n1\n"), format="csv"))
    assert not is_prompt(CsvRows(ListSource([b"a", b"1"]))), "its read may wait"


def test_another_delimiter_is_kept_to(make: MakeFile) -> None:
    assert rows(make(b"a;b\n1,5;2\n"), delimiter=";") == [(2, {"a": "1,5", "b": "2"})]


def test_gzip_and_a_byte_order_mark_are_no_part_of_the_header(make: MakeFile) -> None:
    assert rows(make(gzip.compress(b"\xef\xbb\xbfa,b\r\n1,2\r\n"))) == [(2, {"a": "1", "b": "2"})]


def test_empty_lines_between_rows_are_counted_and_give_no_value(make: MakeFile) -> None:
    assert rows(make(b"\na\n\n1\n\n\n2\n")) == [(4, {"a": "1"}), (7, {"a": "2"})]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "it has 3 fields, and there are 2 columns"),
        (b"1", "it has 1 fields, and there are 2 columns"),
        (b"\xff,2", "it is no UTF-8 text"),
        (b'"1"x,2', "it is no CSV: "),
    ],
)
def test_a_row_that_cannot_be_read_leaves_the_others_right(make: MakeFile, row: bytes, reason: str) -> None:
    found = rows(make(b"a,b\n1,1\n" + row + b"\n2,2\n"))
    assert [found[0], found[2]] == [(2, {"a": "1", "b": "1"}), (4, {"a": "2", "b": "2"})]
    offset, unreadable = found[1]
    assert offset == 3
    assert isinstance(unreadable, Unreadable)
    assert reason in unreadable.reason
    assert unreadable.excerpt == row


def test_quotes_that_nobody_closes_cost_their_own_line(make: MakeFile) -> None:
    for bytes_max, why in ((12, "are not closed within maxLineBytes (12)"), (100, "are still open at the end")):
        found = rows(make(b'a,b\n"1,1\n2,2\n3,3\n4,4\n5,5\n'), line_bytes_max=bytes_max)
        offset, unreadable = found[0]
        assert offset == 2
        assert f"rows.csv, line 2: it is no CSV: its quotes {why}; set lazyQuotes" in unreadable.reason
        assert unreadable.excerpt == b'"1,1'
        assert found[1:] == [(n, {"a": str(n - 1), "b": str(n - 1)}) for n in range(3, 7)]


def test_quotes_that_text_follows_cost_the_line_that_opened_them(make: MakeFile) -> None:
    found = rows(make(b'a,b\n1,"5 inch\n2,"",\n3,x\n4,"y"\n'))
    assert [n for n, _ in found] == [2, 3, 4, 5]
    assert isinstance(found[0][1], Unreadable)
    assert found[1:] == [(3, {"a": "2", "b": ""}), (4, {"a": "3", "b": "x"}), (5, {"a": "4", "b": "y"})]


def test_a_mistake_is_said_with_its_line_its_column_an_excerpt_and_what_to_set(make: MakeFile) -> None:
    (_, unreadable), _ = rows(make(b'a,b\n1,"2"x\n3,4\n'))
    assert unreadable.reason.endswith(
        "rows.csv, line 2: it is no CSV: column 6: ',' expected after '\"'; set lazyQuotes where quotes are part of "
        "the text: '1,\"2\"x'"
    )


def test_a_field_may_be_as_long_as_a_line_may_be(make: MakeFile) -> None:
    long = "x" * 300_000
    path = make(f'a,b\n1,"{long}"\n2,"{long}\n{long}"\n3,short\n'.encode())
    assert [len(row["b"]) for _, row in rows(path)] == [300_000, 600_001, 5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; CSV begins with a line of column names"),
        (b"a,a\n1,2\n", "line 1: the column names must be different and not empty, not a,a; columnNames: number"),
        (b",a\n1,2\n", "must be different and not empty"),
        (b"\xff\xff,b\n", "line 1 cannot be read as column names"),
    ],
)
def test_a_header_that_cannot_be_used_is_said_before_anything_runs(make: MakeFile, content: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        lines(make(content), format="csv").check()


def test_a_missing_file_is_said_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.csv: no such file"):
        lines(tmp_path / "gone.csv", format="csv").check()


@pytest.mark.parametrize("delimiter", ["", ",,", "\n"])
def test_a_delimiter_is_one_character(tmp_path: Path, delimiter: str) -> None:
    with pytest.raises(ConfigurationError, match="delimiter must be one character"):
        lines(tmp_path, format="csv", delimiter=delimiter)


CELL = st.text(st.sampled_from('ab",\n é'), max_size=5)


@settings(deadline=None)
@given(
    table=st.lists(st.tuples(CELL, CELL), max_size=25),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    gzipped=st.booleans(),
)
def test_what_a_csv_writer_wrote_is_read_back_and_a_restart_behind_any_batch_goes_on_rightly(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]], sizes: list[int], gzipped: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "second"])
    writer.writerows(table)
    path = tmp_path_factory.getbasetemp() / "property.csv"
    raw = text.getvalue().encode()
    path.write_bytes(gzip.compress(raw) if gzipped else raw)

    found = batches(lines(path, format="csv"), size=sizes[0])
    everything = numbered(found)
    assert [(row["first"], row["second"]) for _, row in everything] == table
    for size in sizes:
        for batch in found:
            for cursor in {batch.cursor, None}:
                again = rows(path, SourceStart(batch.last_offset, cursor), size)
                assert again == [(n, row) for n, row in everything if n > batch.last_offset]


def test_rows_of_standard_input_have_a_header_in_each_run() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a,b\n1,2\n")
    os.close(writing)
    source = CsvRows(StandardInput(descriptor=reading))
    assert source.restartable is False
    assert numbered(batches(source, SourceStart(10, None))) == [(12, {"a": "1", "b": "2"})]
    os.close(reading)


def test_standard_input_without_a_line_has_no_header_and_says_so() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(PenstockError, match="standard input is empty; CSV begins"):
        batches(CsvRows(StandardInput(descriptor=reading)))
    os.close(reading)
