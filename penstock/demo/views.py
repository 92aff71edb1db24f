"""How a demo is shown: live in a terminal, or as lines."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live

from penstock.demo.readings import Readings
from penstock.demo.screen import Screen
from penstock.demo.status_line import phase_line, status_line
from penstock.demo.timeline import Moment

_LINES_EVERY_SECONDS = 5.0
_NEWS_KEPT = 20


class View(Protocol):
    """Shown a frame some times a second, by one thread."""

    def show(self, now: Readings, moment: Moment) -> None: ...

    def ending(self, text: str) -> None:
        """Says that the end has begun; nothing is shown behind it."""
        ...


class Lines:
    """A line for each phase that begins, and a status line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._sentence: str | None = None
        self._due_seconds = 0.0

    def show(self, now: Readings, moment: Moment) -> None:
        if moment.phase.sentence != self._sentence:
            self._sentence = moment.phase.sentence
            self._say(phase_line(moment))
        if moment.total_seconds >= self._due_seconds:
            self._due_seconds = moment.total_seconds + _LINES_EVERY_SECONDS
            self._say(status_line(now, moment))

    def ending(self, text: str) -> None:
        self._say(text)

    def _say(self, line: str) -> None:
        # As it stands: a log line must not be wrapped to a width that nobody has.
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


class LiveScreen:
    """The whole terminal, drawn anew for each frame."""

    def __init__(self, live: Live, news: News, url: str) -> None:
        self._live = live
        self._news = news
        self._url = url
        self._last: Screen | None = None

    def show(self, now: Readings, moment: Moment) -> None:
        self._last = Screen(now=now, moment=moment, url=self._url, news=self._news.lines())
        self._live.update(self._last, refresh=True)

    def ending(self, text: str) -> None:
        if self._last is not None:
            last = self._last
            screen = Screen(now=last.now, moment=last.moment, url=self._url, news=last.news, ending=text)
            self._live.update(screen, refresh=True)


class News(logging.Handler):
    """Keeps the last lines of the log, which would otherwise be written across the live view. Any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        self._lines: deque[str] = deque(maxlen=_NEWS_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        # The first line: of an exception its trace says nothing to who watches.
        self._lines.append(self.format(record).splitlines()[0])

    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


@contextmanager
def live_screen(console: Console, url: str) -> Iterator[LiveScreen]:
    """Takes the terminal for as long as it lasts; what stood there before comes back."""
    news = News()
    logger = logging.getLogger("penstock")
    before = (logger.level, logger.propagate)
    logger.addHandler(news)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            yield LiveScreen(live, news, url)
    finally:
        logger.removeHandler(news)
        logger.setLevel(before[0])
        logger.propagate = before[1]
