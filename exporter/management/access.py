"""Lets in whom the web config knows, lets change who may, and writes down who changed what."""

from __future__ import annotations

import json
import logging

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.management.replies import problem
from exporter.management.workers import OverloadedError, Workers
from exporter.web_config import Access

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_USER = "penstock.user"
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="penstock", charset="UTF-8"'}
# Of a request that changes something, as much goes into its audit line.
_AUDITED_BYTES_MAX = 400
_audit = logging.getLogger("penstock.audit")


def user_of(request: Request) -> str | None:
    """The name of who asks; None where there are no users."""
    user: str | None = request.scope.get(_USER)
    return user


class AccessCheck:
    """ASGI middleware: 401 for a stranger, 403 for a change by a user who may only read.

    Passwords are checked in `workers`, few at a time: who guesses waits, and nobody else with him.
    """

    def __init__(self, app: ASGIApp, access: Access, workers: Workers) -> None:
        self._app = app
        self._access = access
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._access.needs_user:
            await self._app(scope, receive, send)
            return
        try:
            user = await self._user(Headers(scope=scope).get("authorization"))
        except OverloadedError:
            answer = problem(503, "too many passwords to check at once", headers={"Retry-After": "1"})
            await answer(scope, receive, send)
            return
        if user is None:
            await problem(401, "who asks must say who it is", headers=_CHALLENGE)(scope, receive, send)
        elif scope["method"] not in SAFE_METHODS and not self._access.may_change(user):
            _audit.warning("%s may only read: %s refused", _who(scope, user), _what(scope))
            await problem(403, f"{user} may read and not change")(scope, receive, send)
        else:
            await self._app({**scope, _USER: user}, receive, send)

    async def _user(self, authorization: str | None) -> str | None:
        known = self._access.known(authorization)
        if known is not None:
            return known.user
        return await self._workers.run(lambda: self._access.check(authorization))


class Audit:
    """ASGI middleware: one line for each request that asks for a change, with who, what and how it ended.

    It is written before the answer goes out, so that who has the answer finds it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        is_written = False

        def write(status: int) -> None:
            nonlocal is_written
            is_written = True
            # As a JSON text, so that nobody can write lines of his own into the log.
            said = json.dumps(bytes(body).decode("utf-8", "replace"))
            _audit.info("%s: %s %s -> %d", _who(scope, scope.get(_USER)), _what(scope), said, status)

        async def overheard() -> Message:
            message = await receive()
            body.extend(message.get("body", b"")[: _AUDITED_BYTES_MAX - len(body)])
            return message

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                write(message["status"])
            await send(message)

        try:
            await self._app(scope, overheard, noted)
        finally:
            # It came to no answer: who asked hung up, or the server answers for what broke.
            if not is_written:
                write(500)


def _who(scope: Scope, user: str | None) -> str:
    address = scope["client"][0] if scope.get("client") else "somebody"
    return address if user is None else f"{json.dumps(user)[1:-1]} from {address}"


def _what(scope: Scope) -> str:
    # Both as they came over the wire: percent-encoded, so in one line.
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    return f"{scope['method']} {path}{'?' if query else ''}{query}"
