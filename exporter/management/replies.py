"""Answers in JSON, and errors that say what is wrong in one sentence (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from exporter.door import NotReadyError

NO_STORE = {"Cache-Control": "no-store"}


def json_reply(
    content: object,
    status: int = 200,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type=media_type,
        headers={**NO_STORE, **(headers or {})},
    )


def not_ready(error: NotReadyError) -> Response:
    """503: what was asked for needs an engine that runs; `Retry-After` says when to come again."""
    return problem(503, str(error), headers=retry_after(error))


def retry_after(error: NotReadyError) -> Mapping[str, str]:
    return {"Retry-After": str(error.after_seconds)}


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An `application/problem+json` error; `errors` are its parts, where there are several."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        content["errors"] = errors
    return json_reply(content, status, media_type="application/problem+json", headers=headers)
