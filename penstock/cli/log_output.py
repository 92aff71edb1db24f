"""Where log lines go: to stderr, as text for people or as JSON for machines."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from penstock.settings import LoggingSettings


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the trace if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure(settings: LoggingSettings) -> None:
    """Sends the log of this process to stderr; other packages are heard from warnings on."""
    handler = logging.StreamHandler()
    if settings.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("penstock").setLevel(settings.level.upper())
