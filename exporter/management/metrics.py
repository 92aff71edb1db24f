"""`/metrics` and `/actuator/prometheus`."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from exporter.management.replies import NO_STORE
from exporter.management.workers import OverloadedError, Workers
from exporter.prometheus import Exposer

_log = logging.getLogger("penstock.management")


class MetricsRoute:
    """Answers scrapes; all the work is done in `workers`."""

    def __init__(self, exposer: Exposer, workers: Workers) -> None:
        self._exposer = exposer
        self._workers = workers

    async def get(self, request: Request) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        accept_encoding = ",".join(request.headers.getlist("accept-encoding"))
        names = request.query_params.getlist("name[]")
        try:
            exposition = await self._workers.run(
                lambda: self._exposer.expose(accept=accept, accept_encoding=accept_encoding, names=names)
            )
        except OverloadedError:
            return _failed(503, "too many scrapes at once", {"Retry-After": "1"})
        except Exception:
            _log.exception("a scrape failed")
            return _failed(500, "the metrics could not be read; the log says why", {})
        headers = {**NO_STORE, "Vary": "Accept, Accept-Encoding"}
        if exposition.content_encoding is not None:
            headers["Content-Encoding"] = exposition.content_encoding
        return Response(exposition.body, headers={**headers, "Content-Type": exposition.content_type})


def _failed(status: int, text: str, headers: dict[str, str]) -> Response:
    # Plain, because a scraper shows it as it is.
    return PlainTextResponse(f"{text}\n", status_code=status, headers={**NO_STORE, **headers})
