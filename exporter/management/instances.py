"""`/api/instances`: who shares the pipeline, who has which partition, and letting one that stands still try again."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.core.snapshot import InstanceSnapshot, InstancesSnapshot, PlaceSnapshot
from exporter.door import NS_PER_SECOND, ConfigurationError, InstancesDoor, SnapshotSource, check_ready
from exporter.management.replies import json_reply, problem
from exporter.management.workers import Workers

PATH = "/api/instances"
REOPEN_PATH = f"{PATH}/partitions/{{partition}}/reopen"
Json = dict[str, object]
_ALONE = "this pipeline runs as one: no other instance shares it"


def routes(engine: SnapshotSource, workers: Workers) -> list[Route]:
    route = _InstancesRoute(engine, workers)
    return [Route(PATH, route.get, methods=["GET"]), Route(REOPEN_PATH, route.reopen, methods=["POST"])]


class _InstancesRoute:
    """GET is a pure look at what every instance knows of all of them."""

    def __init__(self, engine: SnapshotSource, workers: Workers) -> None:
        self._engine = engine
        self._workers = workers

    async def get(self, _request: Request) -> Response:
        document = await self._workers.run(self._document)
        return problem(404, _ALONE) if document is None else json_reply(document)

    def _document(self) -> Json | None:
        snapshot = self._engine.snapshot()
        check_ready(snapshot.state)
        return None if snapshot.instances is None else _document(snapshot.instances, snapshot.taken_wall_ns)

    async def reopen(self, request: Request) -> Response:
        engine = self._engine
        if not isinstance(engine, InstancesDoor):
            return problem(404, _ALONE)
        written = request.path_params["partition"]
        if not (written.isascii() and written.isdecimal() and len(written) <= 4):
            return problem(404, f"there is no partition {written!r}")
        try:
            await self._workers.run(partial(engine.reopen, int(written)))
        except ConfigurationError as error:
            return problem(404, str(error))
        return json_reply({"partition": int(written)}, 202)


def _document(seen: InstancesSnapshot, taken_wall_ns: int) -> Json:
    return {
        "takenAt": taken_wall_ns / NS_PER_SECOND,
        "me": seen.me,
        "instances": [_instance(one) for one in seen.instances],
        "partitions": [_partition(place) for place in seen.places],
    }


def _instance(one: InstanceSnapshot) -> Json:
    return {
        "name": one.name,
        "isMe": one.is_me,
        "startedAt": one.since_wall_ns / NS_PER_SECOND,
        "version": one.version,
        "gateway": one.gateway or None,
        "management": one.management or None,
        "partitions": sorted(one.partitions),
        "differs": list(one.differs),
    }


def _partition(place: PlaceSnapshot) -> Json:
    return {
        "partition": place.partition,
        "owner": place.owner,
        "state": place.state,
        "since": None if place.since_wall_ns is None else place.since_wall_ns / NS_PER_SECOND,
        "why": place.why,
        "restoreRemainingRows": place.restore_remaining_rows,
        "restoreSecondsLeft": place.restore_seconds_left,
    }
