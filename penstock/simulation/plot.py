"""A simulation as a picture: backlog above, rates below, throttled time as a yellow band behind both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from engine.core.clock import NS_PER_SECOND
from engine.core.durations import format_duration
from engine.flow.plant import Moment, SimulationResult

WIDTH, HEIGHT = 960, 580
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 86, 18, 76, 58, 34
_CHART_HEIGHT = (HEIGHT - _TOP - _BOTTOM - _GAP) // 2
_POINTS_MAX = WIDTH - _LEFT - _RIGHT
# Told apart also by who sees few colours; yellow is throttling, here as on every board.
_BACKLOG, _LIMIT, _OFFERED, _CAPACITY, _INK, _FAINT, _BAND = (
    "#0072b2",
    "#d55e00",
    "#8a8a8a",
    "#009e73",
    "#222222",
    "#dddddd",
    "#f2cc0c",
)
_STEPS_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class _Line:
    """One curve: what it is called, how it is drawn, and its value at a moment."""

    name: str
    colour: str
    value: Callable[[Moment], float]
    dashes: str = ""
    width: float = 1.6


def plot(result: SimulationResult, title: str, loads: str) -> str:
    """An SVG document that stands alone; `title` and `loads` are its two lines of text."""
    acceptable = result.settings.throttling.acceptable_backlog
    scenario = result.scenario
    backlog = [_Line("backlog", _BACKLOG, lambda m: m.backlog_records, width=2)]
    if result.settings.throttling.enabled:
        backlog.append(_Line("acceptable", _INK, lambda _: acceptable, dashes="6 4", width=1.2))
    rates = [
        _Line("offered", _OFFERED, lambda m: scenario.offered(m.second), width=1.2),
        _Line("exporter's capacity", _CAPACITY, lambda m: scenario.capacity(m.second), dashes="2 3"),
        _Line("write limit", _LIMIT, lambda m: m.limit_per_second, width=2),
    ]
    moments = _thinned(result.moments)
    seconds = len(result.moments)
    lower = _TOP + _CHART_HEIGHT + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="42" fill="#555555">{escape(loads)}</text>',
        *(band for top in (_TOP, lower) for band in _bands(result.moments, top)),
        *_chart(backlog, moments, seconds, _TOP, "records"),
        *_chart(rates, moments, seconds, lower, "records/s"),
        *_time_axis(seconds, lower + _CHART_HEIGHT),
        _legend([*backlog, *rates]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    """At most a moment a pixel: of those that share one, the one of the highest backlog, so that no peak is lost."""
    every = -(-len(moments) // _POINTS_MAX)
    return [max(moments[i : i + every], key=lambda m: m.backlog_records) for i in range(0, len(moments), every)]


def _x(second: float, seconds: int) -> float:
    return _LEFT + second / max(1, seconds) * (WIDTH - _LEFT - _RIGHT)


def _chart(lines: Sequence[_Line], moments: Sequence[Moment], seconds: int, top: int, unit: str) -> Iterator[str]:
    highest = max(line.value(moment) for line in lines for moment in moments)
    step = _nice_step(highest)
    most = step * (int(highest / step) + 1)
    bottom = top + _CHART_HEIGHT

    def y(value: float) -> float:
        return bottom - value / most * _CHART_HEIGHT

    for number in range(int(most / step) + 1):
        value = number * step
        yield f'<path d="M{_LEFT} {y(value):.1f}H{WIDTH - _RIGHT}" stroke="{_FAINT}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
    yield f'<text x="{_LEFT}" y="{top - 6}" fill="#555555">{unit}</text>'
    for line in lines:
        points = " ".join(_corners([f"{_x(m.second, seconds):.1f},{y(line.value(m)):.1f}" for m in moments]))
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        yield (
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="{line.width}"'
            f'{dashes} stroke-linejoin="round"/>'
        )


def _corners(points: Sequence[str]) -> Iterator[str]:
    """Without the points in the middle of a level stretch."""
    levels = [point.partition(",")[2] for point in points]
    for index, point in enumerate(points):
        if levels[index - 1 : index + 2] != [levels[index]] * 3:
            yield point


def _bands(moments: Sequence[Moment], top: int) -> Iterator[str]:
    """A rectangle for each stretch of throttled time."""
    since: int | None = None
    seconds = len(moments)
    for second in range(seconds + 1):
        throttled = second < seconds and moments[second].throttled
        if throttled and since is None:
            since = second
        elif not throttled and since is not None:
            left, right = _x(since, seconds), _x(second, seconds)
            yield (
                f'<rect x="{left:.1f}" y="{top}" width="{max(1.0, right - left):.1f}" height="{_CHART_HEIGHT}" '
                f'fill="{_BAND}" fill-opacity="0.28"/>'
            )
            since = None


def _time_axis(seconds: int, bottom: int) -> Iterator[str]:
    step = next((s for s in _STEPS_SECONDS if seconds / s <= 10), _STEPS_SECONDS[-1] * -(-seconds // 864_000))
    for second in range(0, seconds + 1, step):
        x = _x(second, seconds)
        yield f'<path d="M{x:.1f} {bottom}v5" stroke="{_INK}"/>'
        label = format_duration(second * NS_PER_SECOND) if second else "0"
        yield f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{label}</text>'


def _legend(lines: Sequence[_Line]) -> str:
    """One row below everything."""
    y, x = HEIGHT - 14, float(_LEFT)
    parts = []
    for line in lines:
        dashes = f' stroke-dasharray="{line.dashes}"' if line.dashes else ""
        parts.append(f'<path d="M{x:.0f} {y - 4}h26" stroke="{line.colour}" stroke-width="2"{dashes}/>')
        parts.append(f'<text x="{x + 32:.0f}" y="{y}">{escape(line.name)}</text>')
        x += 32 + 7.2 * len(line.name) + 24
    parts.append(f'<rect x="{x:.0f}" y="{y - 11}" width="26" height="13" fill="{_BAND}" fill-opacity="0.45"/>')
    parts.append(f'<text x="{x + 32:.0f}" y="{y}">throttled</text>')
    return "\n".join(parts)


def _nice_step(highest: float) -> float:
    """A round number of which three to six fit below `highest`."""
    step = 1.0
    while highest / step > 6:
        for factor in (2, 2.5, 2):
            if highest / step > 6:
                step *= factor
    return step
