"""`/api/rejects`: what was set aside, by task, and trying it again."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.snapshot import EngineSnapshot, InstancesSnapshot
from exporter.door import NS_PER_SECOND, ConfigurationError, RejectsDoor, check_ready, check_running
from exporter.management.replies import json_reply, problem
from exporter.management.workers import Workers

PATH = "/api/rejects"
SHOWN_MAX = 1000
_SHOWN = 100
Json = dict[str, object]


def routes(engine: RejectsDoor, workers: Workers) -> list[Route]:
    route = _RejectsRoute(engine, workers)
    return [
        Route(PATH, route.counts, methods=["GET"]),
        Route(f"{PATH}/{{task}}", route.handle, methods=["GET", "DELETE"]),
        Route(f"{PATH}/{{task}}/replay", route.replay, methods=["POST"]),
    ]


class _RejectsRoute:
    """GET is a pure look. A replay is asked for here and done by the engine, each reject once."""

    def __init__(self, engine: RejectsDoor, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers

    async def counts(self, _request: Request) -> Response:
        return json_reply(await self._workers.run(self._document))

    def _document(self) -> Json:
        snapshot = self._engine.snapshot()
        check_ready(snapshot.state)
        return rejects_document(snapshot)

    async def handle(self, request: Request) -> Response:
        task = request.path_params["task"]
        if request.method == "DELETE":
            return await self._asked(task, lambda: {"task": task, "deleted": self._engine.drop_rejects(task)}, 200)
        limit = request.query_params.get("limit", str(_SHOWN))
        if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit) <= SHOWN_MAX):
            return problem(400, f"limit is a whole number from 1 to {SHOWN_MAX}")
        return await self._asked(
            task, lambda: {"task": task, "rejects": self._engine.rejects(task, int(limit))}, 200, changes=False
        )

    async def replay(self, request: Request) -> Response:
        task = request.path_params["task"]
        shared = (await self._workers.run(self._engine.snapshot)).instances

        def act() -> Json:
            return {"task": task, "replayed": self._engine.replay_rejects(task), **_whom(shared)}

        # Where instances share the pipeline, those that are kept elsewhere are meant too.
        return await self._asked(task, act, 202) if shared is None else await self._done(act, 202)

    async def _asked(self, task: str, act: Callable[[], Json], status: int, *, changes: bool = True) -> Response:
        snapshot = await self._workers.run(self._engine.snapshot)
        (check_running if changes else check_ready)(snapshot.state)
        if all(one.task != task for one in snapshot.rejects):
            return problem(404, f"there are no rejects of {task!r}")
        return await self._done(act, status)

    async def _done(self, act: Callable[[], Json], status: int) -> Response:
        try:
            return json_reply(await self._workers.run(act), status)
        except ConfigurationError as error:
            return problem(409, str(error))


def _whom(shared: InstancesSnapshot | None) -> Json:
    """Which instances try again what they have set aside, and who does it for each partition just now."""
    if shared is None:
        return {}
    owners = {str(place.partition): place.owner for place in shared.places}
    return {"instances": [one.name for one in shared.instances], "owners": owners}


def rejects_document(snapshot: EngineSnapshot) -> Json:
    return {
        "takenAt": snapshot.taken_wall_ns / NS_PER_SECOND,
        "rejects": [
            {
                "task": one.task,
                "count": one.count,
                "oldestAt": None if one.oldest_wall_ns is None else one.oldest_wall_ns / NS_PER_SECOND,
            }
            for one in snapshot.rejects
        ],
    }
