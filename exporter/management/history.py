"""`/api/history`: the last fifteen minutes as columns, for charts."""

from __future__ import annotations

import gzip
import math

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from exporter.history import HistorySampler
from exporter.management.replies import NO_STORE, problem
from exporter.management.workers import Workers
from exporter.prometheus.formats import accepts_gzip

PATH = "/api/history"
_GZIP_LEVEL = 1
# Below this a compressed answer is hardly shorter.
_GZIP_FROM_BYTES = 4096


class HistoryRoute:
    """Answers with everything kept, or with what is later than `since`, in seconds of the wall clock."""

    def __init__(self, history: HistorySampler, workers: Workers) -> None:
        self._history = history
        self._workers = workers

    async def get(self, request: Request) -> Response:
        unknown = sorted(set(request.query_params) - {"since"})
        if unknown:
            return problem(400, f"there is no query parameter {unknown[0]!r}; there is since")
        written = request.query_params.getlist("since")
        if len(written) > 1:
            return problem(400, "since may be given once")
        try:
            since = _seconds(written[0]) if written else None
        except ValueError:
            return problem(400, "since must be a Unix time in seconds, such as 1767225600.5")
        compress = accepts_gzip(",".join(request.headers.getlist("accept-encoding")))
        body, encoding = await self._workers.run(lambda: self._body(since, compress))
        headers = {**NO_STORE, "Vary": "Accept-Encoding", **encoding}
        return Response(body, media_type="application/json", headers=headers)

    def _body(self, since: float | None, compress: bool) -> tuple[bytes, dict[str, str]]:
        # The id first: what happens in between is told twice rather than never.
        newest = self._history.feed.newest_id
        columns = self._history.recorder.columns(since_seconds=since)
        body = msgspec.json.encode({"lastEventId": newest, **columns})
        if compress and len(body) >= _GZIP_FROM_BYTES:
            return gzip.compress(body, _GZIP_LEVEL, mtime=0), {"Content-Encoding": "gzip"}
        return body, {}


def _seconds(written: str) -> float:
    seconds = float(written)
    if not math.isfinite(seconds):
        raise ValueError(written)
    return seconds
