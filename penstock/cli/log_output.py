"""Where log lines go: to stderr, as text for people or as JSON for machines."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.core.secrets import Secrets
from penstock.settings import LoggingSettings

NO_SECRETS = Secrets()


class TextFormatter(logging.Formatter):
    """A line for people, and a trace behind it."""

    def __init__(self, secrets: Secrets = NO_SECRETS) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._secrets = secrets

    def formatMessage(self, record: logging.LogRecord) -> str:
        # Time, level and logger are ours.
        record.message = self._secrets.hide(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return self._secrets.hide(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return self._secrets.hide(super().formatStack(stack_info))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the trace if there is one."""

    def __init__(self, secrets: Secrets = NO_SECRETS) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._secrets.hide(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = self._secrets.hide(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def configure(settings: LoggingSettings, secrets: Secrets = NO_SECRETS) -> None:
    """Sends the log of this process to stderr, without `secrets`; other packages are heard from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(secrets) if settings.format == "json" else TextFormatter(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("penstock").setLevel(settings.level.upper())
