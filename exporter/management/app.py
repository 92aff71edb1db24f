"""The management port as an ASGI application: every route, and what is true of all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.catalogue import PortSnapshot
from exporter.door import Clock, EngineDoor, NotReadyError, SystemClock
from exporter.history import HistorySampler
from exporter.management import back_pressure, events, exporters, flink, history, instances, pipelines, rejects
from exporter.management.access import AccessCheck, Audit
from exporter.management.flow_control import api, episodes
from exporter.management.flow_control import route as flow_control
from exporter.management.flow_control.limits import Limits
from exporter.management.health import HealthRoutes
from exporter.management.hosts import HostCheck, HostNames
from exporter.management.metrics import MetricsRoute
from exporter.management.openapi import PATH as OPENAPI_PATH
from exporter.management.openapi import openapi_document
from exporter.management.page import Page, asset
from exporter.management.replies import json_reply, problem, retry_after
from exporter.management.rights import PATH as RIGHTS_PATH
from exporter.management.rights import RightsRoute
from exporter.management.rooms import Choice, Rooms
from exporter.management.workers import OverloadedError, Workers
from exporter.prometheus import Exposer
from exporter.web_config import Access

# Rendering is Python and holds the interpreter: more threads would only take turns.
_SCRAPES_AT_ONCE = 2
_SCRAPES_WAITING_MAX = 40
# Calls of the engine are short; a few threads keep one that waits for a lock from holding up the others.
_CALLS_AT_ONCE = 4
_CALLS_WAITING_MAX = 100
# A check of a password is made to take long: who guesses gets one thread, and its queue is short.
_CHECKS_AT_ONCE = 1
_CHECKS_WAITING_MAX = 20

_log = logging.getLogger("penstock.management")


def management_app(
    engine: EngineDoor,
    sampler: HistorySampler,
    *,
    names: HostNames,
    access: Access | None = None,
    pushes: Callable[[], Mapping[str, int]] | None = None,
    port: Callable[[], PortSnapshot] | None = None,
    clock: Clock | None = None,
    rooms: Rooms | None = None,
) -> Starlette:
    """The application for one engine, or for several behind one door. Its threads live from the start of its lifespan
    to the end.

    The sampler is that of the first engine, and its life the caller's; `rooms` are the others.
    """
    clock, access = clock or SystemClock(), access or Access()
    scrapes = Workers("scrape", threads=_SCRAPES_AT_ONCE, waiting_max=_SCRAPES_WAITING_MAX)
    calls = Workers("management", threads=_CALLS_AT_ONCE, waiting_max=_CALLS_WAITING_MAX)
    checks = Workers("passwords", threads=_CHECKS_AT_ONCE, waiting_max=_CHECKS_WAITING_MAX)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for workers in (scrapes, calls, checks):
            workers.stop()

    metrics = MetricsRoute(Exposer(engine, clock=clock, pushes=pushes, port=port), scrapes)
    # What is said of all engines at once, wherever it is asked for.
    common = [
        Route("/static/{path:path}", asset),
        Route(OPENAPI_PATH, _openapi),
        Route("/metrics", metrics.get),
        Route("/actuator", _actuator),
        Route("/actuator/prometheus", metrics.get),
        Route(RIGHTS_PATH, RightsRoute(access).get),
        Route(pipelines.PATH, pipelines.PipelinesRoute(engine, calls).get),
        *flink.routes(engine, calls),
    ]

    def room(door: EngineDoor, seen: HistorySampler) -> Starlette:
        return _app([*_of_one(door, seen, calls, clock), *common])

    return _app(
        [*_of_one(engine, sampler, calls, clock), *common],
        middleware=[
            Middleware(_EveryAnswer, access=access),
            Middleware(HostCheck, names=names),
            Middleware(AccessCheck, access=access, workers=checks),
            Middleware(Audit),
            Middleware(Choice, rooms=rooms, open_room=room),
        ],
        lifespan=lifespan,
    )


def _of_one(engine: EngineDoor, sampler: HistorySampler, calls: Workers, clock: Clock) -> list[BaseRoute]:
    """What is asked of one engine."""
    health = HealthRoutes(engine, calls, clock)
    limits = Limits(engine)
    return [
        Route("/", Page(engine, calls).get),
        Route(flow_control.PATH, flow_control.FlowControlRoute(limits, calls).handle, methods=["GET", "POST"]),
        Route(api.PATH, api.FlowControlApi(limits, calls).handle, methods=api.METHODS),
        Route(episodes.PATH, episodes.EpisodesRoute(sampler.episodes, calls).get),
        Route("/actuator/health", health.health),
        Route("/actuator/health/liveness", health.liveness),
        Route("/actuator/health/readiness", health.readiness),
        Route("/actuator/info", health.info),
        Route("/-/healthy", health.liveness),
        Route("/-/ready", health.readiness),
        Route(history.PATH, history.HistoryRoute(sampler, calls).get),
        Route(events.PATH, events.EventsRoute(sampler.feed).get),
        *back_pressure.routes(engine, calls),
        *exporters.routes(engine, calls),
        *rejects.routes(engine, calls),
        *instances.routes(engine, calls),
    ]


def _app(
    routes: Sequence[BaseRoute],
    *,
    middleware: Sequence[Middleware] = (),
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
) -> Starlette:
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            HTTPException: _http_error,
            NotReadyError: _not_ready,
            OverloadedError: _overloaded,
        },
        lifespan=lifespan,
    )
    # A redirect would hand the client's own Host header back to it.
    app.router.redirect_slashes = False
    return app


class _EveryAnswer:
    """ASGI middleware: the headers that all answers share, and no trace leaves the house.

    Nothing may be taken for something else than it says it is. What the web config sets stands behind what an answer
    has set itself.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def marked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(raw=list(message["headers"]))
                for name, value in {**self._access.config.headers, "X-Content-Type-Options": "nosniff"}.items():
                    headers.setdefault(name, value)
                message["headers"] = headers.raw
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except Exception:
            if scope["type"] != "http" or begun:
                # The server logs it and cuts the connection.
                raise
            request = Request(scope)
            _log.exception("%s %s failed", request.method, request.url.path)
            await _error(request, 500, "something went wrong here; the log says what", {})(scope, receive, marked)


async def _openapi(_request: Request) -> Response:
    return json_reply(openapi_document())


async def _actuator(request: Request) -> Response:
    base = str(request.base_url).rstrip("/")
    paths = {
        "self": "/actuator",
        "flowControl": flow_control.PATH,
        "health": "/actuator/health",
        "info": "/actuator/info",
        "prometheus": "/actuator/prometheus",
    }
    links = {name: {"href": f"{base}{path}", "templated": False} for name, path in paths.items()}
    return json_reply({"_links": links})


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            detail = f"there is nothing at {request.url.path}"
        case 405:
            headers["Allow"] = ", ".join(sorted(headers.get("Allow", "").split(", ")))
            detail = f"{request.method} is not possible here; possible are {headers['Allow']}"
        case _:
            detail = error.detail
    return _error(request, error.status_code, detail, headers)


async def _not_ready(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, NotReadyError)
    return _error(request, 503, str(raised), dict(retry_after(raised)))


async def _overloaded(request: Request, _raised: Exception) -> Response:
    return _error(request, 503, "too many requests at once", {"Retry-After": "1"})


def _error(request: Request, status: int, detail: str, headers: dict[str, str]) -> Response:
    if request.url.path == flow_control.PATH:
        return flow_control.failure(status, detail, headers=headers)
    if flink.is_its(request.url.path):
        return flink.errors(status, detail, headers=headers)
    return problem(status, detail, headers=headers)
