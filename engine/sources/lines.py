"""The door to everything that comes line by line: `lines("flights.ndjson.gz")`, also CSV, stdin and growing files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from engine.core.errors import ConfigurationError
from engine.sources.csv_dialect import ColumnNames, CsvDialect
from engine.sources.csv_followed import FollowedRows, RowsCursor
from engine.sources.csv_rows import CsvRows
from engine.sources.followed_file import FollowedFile
from engine.sources.json_lines import JsonLines
from engine.sources.line_file import Lines
from engine.sources.line_splitter import LINE_BYTES_MAX
from engine.sources.many_files import ManyFiles, is_pattern
from engine.sources.many_logs import ManyLogs, PlainCursor
from engine.sources.protocol import Source
from engine.sources.standard_input import StandardInput

STANDARD_INPUT = "-"
LineFormat = Literal["lines", "csv", "json"]


def lines(
    path: str | Path,
    *,
    format: LineFormat = "lines",
    type: Any = None,
    delimiter: str | None = None,
    quote: str = '"',
    escape: str | None = None,
    lazy_quotes: bool = False,
    columns: Sequence[str] | None = None,
    column_names: ColumnNames = "refuse",
    encoding: str | None = None,
    follow: bool = False,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> Source:
    """The source for `Pipeline.source`: each line of the file at `path`, as bytes without its end.

    `format="csv"` makes each row a dictionary of text, under the names in the first line or in `columns`; the options
    from `delimiter` to `column_names` say how it is written. `format="json"` decodes each line, and with `type` into a
    Struct of msgspec, a dataclass or a `TypedDict`; a line that does not fit cannot be read. Text in another `encoding`
    becomes UTF-8. `path="-"` is standard input; one with `*`, `?` or `[…]` means all files of such a name.
    `follow=True` goes on with a file that grows, is rotated or truncated, and never ends by itself.
    """
    dialect = CsvDialect(
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        lazy_quotes=lazy_quotes,
        columns=None if columns is None else tuple(columns),
        column_names=column_names,
    )
    if format != "json" and type is not None:
        raise ConfigurationError("type is for format: json, which decodes lines into it")
    if format != "csv" and dialect != CsvDialect():
        raise ConfigurationError("delimiter, quote, escape, lazyQuotes, columns and columnNames are for format: csv")

    def read(inner: Source) -> Source:
        match format:
            case "csv":
                return CsvRows(inner, dialect=dialect, row_bytes_max=line_bytes_max)
            case "json":
                return JsonLines(inner, Any if type is None else type)
            case _:
                return inner

    name = str(path)
    if name == STANDARD_INPUT:
        if follow:
            raise ConfigurationError("standard input is read to its end anyway; only a file can be followed")
        return read(StandardInput(line_bytes_max=line_bytes_max))

    def followed(path: Path) -> tuple[Source, FollowedFile]:
        file = FollowedFile(path, line_bytes_max=line_bytes_max, encoding=encoding)
        if format == "csv":
            return FollowedRows(file, dialect=dialect, row_bytes_max=line_bytes_max), file
        return read(file), file

    def whole(path: Path) -> Source:
        quote = dialect.quote if format == "csv" else ""
        return read(Lines(path, line_bytes_max=line_bytes_max, encoding=encoding, quote=quote))

    if is_pattern(name):
        if follow:
            return ManyLogs(name, followed, RowsCursor() if format == "csv" else PlainCursor())
        return ManyFiles(name, whole)
    return followed(Path(path))[0] if follow else whole(Path(path))
