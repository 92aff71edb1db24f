"""`/api/pipelines`: all that is served here, and how each of them is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from engine.core.snapshot import EngineSnapshot
from exporter.door import EngineDoor, condition_of, engines_of
from exporter.management.replies import json_reply
from exporter.management.workers import Workers

PATH = "/api/pipelines"
Json = dict[str, object]


class PipelinesRoute:
    """Answers with one entry a pipeline, the one that speaks for all of them first."""

    def __init__(self, engine: EngineDoor, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers

    async def get(self, _request: Request) -> Response:
        return json_reply(await self._workers.run(self._document))

    def _document(self) -> Json:
        return {"pipelines": [_pipeline(engine.snapshot()) for engine in engines_of(self._engine)]}


def _pipeline(snapshot: EngineSnapshot) -> Json:
    found = condition_of(snapshot)
    origin = snapshot.origin
    return {
        "pipeline": snapshot.pipeline,
        "jobId": snapshot.job_id,
        "state": snapshot.state,
        "condition": found.condition.words,
        "because": found.text,
        "bottleneck": snapshot.bottleneck,
        "isBridge": snapshot.bridge is not None and not snapshot.vertices,
        "bridge": None if origin is None else origin.bridge,
    }
