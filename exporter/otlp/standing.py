"""How a collector is doing, told in two lines of the log instead of one a push."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.door import Secrets, shown_address

_NO_ANSWER = "no answer in time"
_log = logging.getLogger("penstock.otlp")


class Standing:
    """Whether pushes of `what` to `url` arrive. For the pushing thread alone."""

    def __init__(self, what: str, url: str, *, consequence: str, secrets: Secrets) -> None:
        """`consequence` ends the line that says that pushes fail."""
        self._what = what
        self._url = shown_address(url)
        self._secrets = secrets
        self._consequence = consequence
        self._failures_in_a_row = 0

    @property
    def is_failing(self) -> bool:
        return self._failures_in_a_row > 0

    def succeeded(self) -> None:
        if self._failures_in_a_row:
            _log.info("%s is reached again after %d pushes that failed", self._url, self._failures_in_a_row)
        self._failures_in_a_row = 0

    def failed(self, reason: str) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row == 1:
            said = self._secrets.hide(reason)
            _log.warning("%s cannot be pushed to %s: %s; %s", self._what, self._url, said, self._consequence)


@contextmanager
def overheard(logger: str) -> Iterator[Overheard]:
    """Keeps what OpenTelemetry's `logger` says of a push that fails, instead of letting it say so at every try."""
    library_log, listener = logging.getLogger(logger), Overheard()
    library_log.addFilter(listener)
    try:
        yield listener
    finally:
        library_log.removeFilter(listener)


class Overheard(logging.Filter):
    """The reason that was heard last."""

    reason = _NO_ANSWER

    def filter(self, record: logging.LogRecord) -> bool:
        match record.args:
            # "Failed to export %s batch code: %s, reason: %s"
            case (_, code, reason) if record.levelno >= logging.ERROR:
                self.reason = str(reason) if code is None else f"{code} {reason}"
            # "Transient error %s encountered while exporting %s batch, retrying in %.2fs."
            case (error, _, _):
                self.reason = str(error)
        return False
