"""`/` and `/static/…`: the web page."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from exporter.build import penstock_version
from exporter.door import SnapshotSource
from exporter.management.workers import Workers
from exporter.page import assets, page_html

# Everything comes from here; nothing is inline, and no other page may frame this one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
}


class Page:
    """The page of one engine."""

    def __init__(self, engine: SnapshotSource, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers

    async def get(self, _request: Request) -> Response:
        snapshot = await self._workers.run(self._engine.snapshot)
        shared = snapshot.instances
        page = page_html(
            pipeline=snapshot.pipeline, version=penstock_version(), instance=None if shared is None else shared.me
        )
        return HTMLResponse(page, headers=_HEADERS)


async def asset(request: Request) -> Response:
    """One of the page's files. A browser that has it asks again and is told that nothing changed."""
    found = assets().get(request.path_params["path"])
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "no-cache", "ETag": found.etag, "Content-Security-Policy": _POLICY}
    if found.etag in (known.strip() for known in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers={**headers, "Content-Type": found.media_type})
