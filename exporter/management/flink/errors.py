"""Errors in Flink's shape."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from exporter.management.replies import json_reply


class FlinkError(Exception):
    """An answer other than 200; the text is for a person."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def reply(self) -> Response:
        return errors(self.status, str(self))


def errors(status: int, text: str, *, headers: Mapping[str, str] | None = None) -> Response:
    return json_reply({"errors": [text]}, status, headers=headers)


def unreadable(kind: str, name: str, value: str) -> FlinkError:
    """A parameter that is not what it should be; `kind` is `path` or `query`."""
    return FlinkError(
        400, f'Bad request, could not parse parameters: Cannot resolve {kind} parameter ({name}) from value "{value}".'
    )
