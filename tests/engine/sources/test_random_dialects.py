"""CSV of random dialects is read as Python's csv reads it, packed or not; a gzip has the lines that zcat gives."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.sources.lines import lines
from engine.sources.packings import zstd
from engine.sources.protocol import SourceStart
from tests.support.sources import batches, numbered

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
# What has to be said of each.
ENCODINGS = {
    "utf-8": None,
    "utf-8-sig": None,
    "utf-16": None,
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "windows-1252": "windows-1252",
    "latin-1": "latin-1",
}


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    delimiter: str
    quote: str
    escape: str | None
    quoting: int
    line_end: str
    encoding: str
    packing: str
    has_names: bool
    ends_with_line_end: bool

    @property
    def format(self) -> dict[str, Any]:
        """For Python's csv. Where there is no escape, quotes are doubled."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "escapechar": self.escape,
            "doublequote": self.escape is None,
            "quoting": self.quoting,
        }

    def written(self, table: list[list[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n", **self.format).writerows(table)
        whole = text.getvalue() if self.ends_with_line_end else text.getvalue().removesuffix("\r\n")
        # Cells hold no \r of their own, so that no line end can be mistaken for another.
        return whole.replace("\r\n", self.line_end)

    def read_by_python(self, text: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True, **self.format))

    def packed(self, text: str) -> bytes:
        return PACKINGS[self.packing](text.encode(self.encoding))

    def options(self, columns: int) -> dict[str, Any]:
        said: dict[str, Any] = {"format": "csv", "quote": self.quote, "encoding": ENCODINGS[self.encoding]}
        if self.delimiter != ",":
            said["delimiter"] = self.delimiter
        if self.escape is not None:
            said["escape"] = self.escape
        if not self.has_names:
            said["columns"] = [f"c{n}" for n in range(columns)]
        return said


DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from([",", ";", "\t", "|", ":", " "]),
    quote=st.sampled_from(['"', "'"]),
    escape=st.sampled_from([None, None, "\\", "^"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\r\n", "\n"]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    packing=st.sampled_from(sorted(PACKINGS)),
    has_names=st.booleans(),
    ends_with_line_end=st.booleans(),
)
CELL = st.text(st.sampled_from("ab,;\t|: \"'\\^\né€1"), max_size=6)
TABLES = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(CELL, min_size=columns, max_size=columns), min_size=1, max_size=12)
)


def latin(cell: str, encoding: str) -> str:
    return cell.replace("€", "e") if encoding == "latin-1" else cell


@settings(deadline=None, max_examples=200)
@given(dialect=DIALECTS, table=TABLES, size=st.integers(1, 7))
def test_a_valid_file_of_any_dialect_is_read_as_python_reads_it(
    tmp_path_factory: pytest.TempPathFactory, dialect: Dialect, table: list[list[str]], size: int
) -> None:
    columns = len(table[0])
    # A line with nothing on it is no row here, and one of no fields in Python.
    table = [[latin(cell, dialect.encoding) for cell in row] for row in table]
    table = [row if columns > 1 or row[0] else ["x"] for row in table]
    names = [f"c{n}" for n in range(columns)]
    text = dialect.written([*([names] if dialect.has_names else []), *table])
    path = tmp_path_factory.getbasetemp() / "random dialect"
    path.write_bytes(dialect.packed(text))
    by_python = [row for row in dialect.read_by_python(text) if row][1 if dialect.has_names else 0 :]
    wanted = [dict(zip(names, row, strict=True)) for row in by_python]
    event(f"{dialect.encoding}, {dialect.packing}")

    options = dialect.options(columns)
    if columns == 1 and dialect.delimiter == ",":
        options["delimiter"] = ","
    found = batches(lines(path, **options), size=size)
    assert [row for _, row in numbered(found)] == wanted
    for batch in found:
        again = batches(lines(path, **options), SourceStart(batch.last_offset, batch.cursor), size)
        assert numbered(again) == [(n, row) for n, row in numbered(found) if n > batch.last_offset]


@pytest.mark.skipif(shutil.which("zcat") is None, reason="zcat is not here")
@settings(deadline=None, max_examples=30)
@given(
    members=st.lists(st.binary(max_size=300).map(lambda text: text.replace(b"\r", b"")), min_size=1, max_size=4),
    level=st.integers(0, 9),
    padding=st.integers(0, 600),
)
def test_a_whole_gzip_has_the_lines_that_zcat_gives(
    tmp_path_factory: pytest.TempPathFactory, members: list[bytes], level: int, padding: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "members.gz"
    # Some text in front, so that none of it looks like another kind of file.
    members = [b"text\n", *members]
    path.write_bytes(b"".join(gzip.compress(member, level) for member in members) + b"\0" * padding)
    said = subprocess.run(["zcat", path], capture_output=True, check=False)
    whole = said.stdout.split(b"\n")
    assert said.stdout == b"".join(members)
    found = numbered(batches(lines(path), size=5))
    assert [value for _, value in found] == [line for line in whole if line]
