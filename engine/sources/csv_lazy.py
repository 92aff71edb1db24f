"""Rows whose quotes keep to no rule: a quote closes a field only in front of a delimiter or a line end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.sources.csv_dialect import CsvDialect


@dataclass(frozen=True, slots=True)
class LazyLine:
    """What one line brings: fields, of which the last goes on in the next line where `opened_at` is no None."""

    fields: list[str]
    # Where in the line its quote stands; -1 where it was open before.
    opened_at: int | None


class LazyQuotes:
    """Reads line by line, in time linear in their length, as Go's encoding/csv does with `LazyQuotes`."""

    def __init__(self, dialect: CsvDialect) -> None:
        quote, separator = re.escape(dialect.quote), re.escape(dialect.separator)
        escape = "" if dialect.escape is None else re.escape(dialect.escape)
        escaped = f"|{escape}.?" if escape else ""
        # Possessive: what was taken for text is never given back.
        self._quoted = re.compile(
            f"(?:[^{quote}{escape}]++|{quote}{quote}{escaped}|{quote}(?!{separator}|\\Z))*+", re.DOTALL
        )
        self._unquoted = re.compile(f"(?:[^{separator}{escape}]++{escaped})*+", re.DOTALL)
        self._doubled = re.compile(f"{quote}({quote})" + (f"|{escape}(.?)" if escape else ""), re.DOTALL)
        self._escaped = re.compile(f"{escape}(.?)", re.DOTALL) if escape else None
        self._quote = dialect.quote
        self._separator = dialect.separator

    def line(self, text: str, *, is_open: bool = False) -> LazyLine:
        fields: list[str] = []
        at, opened_at = 0, -1
        while True:
            if is_open or text.startswith(self._quote, at):
                opened_at, begin = (at, at + 1) if not is_open else (-1, 0)
                is_open = False
                found = self._quoted.match(text, begin)
                assert found is not None, "it may be empty"
                fields.append(self._doubled.sub(_kept, found[0]))
                at = found.end() + 1
                if at > len(text):
                    return LazyLine(fields, opened_at)
            else:
                at = self._take_unquoted(text, at, fields)
            if at == len(text):
                return LazyLine(fields, None)
            at += 1

    def alone(self, text: str, line: LazyLine) -> list[str]:
        """The fields of a line of which the last quote is never closed, and so is text."""
        assert line.opened_at is not None, "a quote is open"
        assert line.opened_at >= 0, "it is open since this line"
        fields = line.fields[:-1]
        at = line.opened_at
        while (at := self._take_unquoted(text, at, fields)) < len(text):
            at += 1
        return fields

    def _take_unquoted(self, text: str, at: int, fields: list[str]) -> int:
        found = self._unquoted.match(text, at)
        assert found is not None, "it may be empty"
        fields.append(found[0] if self._escaped is None else self._escaped.sub(_kept, found[0]))
        return found.end()


def _kept(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None)
