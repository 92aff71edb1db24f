"""Loads as people write them: a rate, steps, or a file of what was measured."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.core.clock import NS_PER_SECOND
from engine.core.durations import format_duration, parse_duration_ns
from engine.core.errors import ConfigurationError
from engine.flow.plant import Load, steps

_FORMS = "write a rate (4000), steps (3500,10m:800) or the name of a file with seconds and rates"
# A year in steps of a second is more than anybody looks at.
_CHANGES_MAX = 1_000_000
_RATE_MAX = 1e9


@dataclass(frozen=True, slots=True)
class GivenLoad:
    """Records per second over time. `changes` are (second, rate) in order, the first at second 0."""

    changes: tuple[tuple[float, float], ...]
    # The file it comes from; None for one that was written down.
    file: str | None = None

    @property
    def load(self) -> Load:
        return steps(*self.changes)

    @property
    def last_change(self) -> int:
        """From when on settling is measured: the last step. What was measured changes all the time: its beginning."""
        return 0 if self.file is not None else math.ceil(self.changes[-1][0])

    @property
    def seconds(self) -> int:
        """How long it says something new."""
        return math.ceil(self.changes[-1][0])

    @property
    def text(self) -> str:
        """`3500/s, from 10m 800/s`."""
        if self.file is not None:
            rates = [rate for _, rate in self.changes]
            return f"{min(rates):g} to {max(rates):g}/s as in {self.file}"
        first, *others = self.changes
        later = "".join(f", from {format_duration(round(since * NS_PER_SECOND))} {rate:g}/s" for since, rate in others)
        return f"{first[1]:g}/s{later}"


def read_load(written: str, name: str) -> GivenLoad:
    """The load that `written` says. Raises `ConfigurationError` with `name` in front."""
    parts = [part.strip() for part in written.split(",")]
    if all(_looks_like_a_step(part) for part in parts):
        return GivenLoad(_steps(parts, name))
    path = Path(written)
    # A name with a zero byte is none that a file can have.
    if "\0" in written or not path.exists():
        raise ConfigurationError(f"{name}: {written!r} is no load and no file; {_FORMS}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(f"{name}: {written} cannot be read: {(reason or 'unknown').lower()}") from None
    return GivenLoad(_measured(text, written), path.name)


def _looks_like_a_step(part: str) -> bool:
    """`800` or `10m:800`, right or wrong; the name of a file looks different."""
    return part[:1].isdigit() and part[-1:].isdigit() and "\0" not in part and not Path(part).exists()


def _steps(parts: list[str], name: str) -> tuple[tuple[float, float], ...]:
    changes: list[tuple[float, float]] = []
    for part in parts:
        since, colon, rate = part.rpartition(":")
        if changes and not colon:
            raise ConfigurationError(f"{name}: {part!r} needs its time in front, such as 10m:{part}")
        try:
            second = parse_duration_ns(since) / NS_PER_SECOND if colon else 0.0
        except ValueError as error:
            raise ConfigurationError(f"{name}: {part!r}: {error}") from None
        _add(changes, second, _rate(rate, f"{name}: {part!r}"), f"{name}: {part!r}")
    if changes[0][0]:
        raise ConfigurationError(f"{name}: the first rate of {','.join(parts)!r} must hold from the beginning on")
    return tuple(changes)


def _measured(text: str, file: str) -> tuple[tuple[float, float], ...]:
    """Seconds and rates of a file: NDJSON with the keys `seconds` and `rate`, or CSV with two columns."""
    rows = _ndjson_rows(text, file) if text.lstrip()[:1] == "{" else _csv_rows(text, file)
    changes: list[tuple[float, float]] = []
    for line, seconds, rate in rows:
        place = f"{file}:{line}"
        _add(changes, _number(seconds, place), _rate(rate, place), place)
    if not changes:
        raise ConfigurationError(f"{file} has no rates")
    # Times may be Unix times: what counts is how far apart they are.
    begin = changes[0][0]
    return tuple((since - begin, rate) for since, rate in changes)


def _ndjson_rows(text: str, file: str) -> list[tuple[int, object, object]]:
    rows: list[tuple[int, object, object]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
            rows.append((number, row["seconds"], row["rate"]))
        except (msgspec.DecodeError, KeyError, TypeError):
            raise ConfigurationError(f'{file}:{number}: must be like {{"seconds": 15, "rate": 820.5}}') from None
    return rows


def _csv_rows(text: str, file: str) -> list[tuple[int, object, object]]:
    rows: list[tuple[int, object, object]] = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), 1):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != 2:
            raise ConfigurationError(f"{file}:{number}: must have two columns, seconds and rate, not {len(row)}")
        # The first row may name the columns.
        if rows or number > 1 or row[0][:1].isdigit():
            rows.append((number, row[0], row[1]))
    return rows


def _add(changes: list[tuple[float, float]], second: float, rate: float, place: str) -> None:
    if changes and second <= changes[-1][0]:
        raise ConfigurationError(f"{place}: times must rise, {second:g} s does not come after {changes[-1][0]:g} s")
    if len(changes) >= _CHANGES_MAX:
        raise ConfigurationError(f"{place}: more than {_CHANGES_MAX} rates are too many")
    changes.append((second, rate))


def _rate(written: object, place: str) -> float:
    rate = _number(written, place)
    if not 0 <= rate <= _RATE_MAX:
        raise ConfigurationError(f"{place}: a rate must lie between 0 and {_RATE_MAX:.0f} records per second")
    return rate


def _number(written: object, place: str) -> float:
    try:
        number = float(written) if isinstance(written, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigurationError(f"{place}: {written!r} is no number")
    return number
