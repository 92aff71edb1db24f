"""Refuses requests for other host names, so that no web page can reach in by DNS rebinding.

An address in the Host header is safe, because rebinding needs a name; so is a name that its owner configured.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.management.access import SAFE_METHODS
from exporter.management.replies import problem

ANY_HOST = "*"


class HostNames:
    """The names under which this server may be reached, besides every literal address."""

    def __init__(self, bound: str, extra: Iterable[str] = ()) -> None:
        self._names = {"localhost", bound.lower(), socket.gethostname().lower()}
        self._names |= {name.lower() for name in extra}

    def allows(self, authority: str) -> bool:
        """Whether a Host header (`name`, `name:port`, `[::1]:port`) names this server."""
        name = host_name(authority)
        if name is None:
            return False
        if ANY_HOST in self._names or name in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def host_name(authority: str) -> str | None:
    """The name in an authority, lower case, without port and brackets; None when there is none."""
    try:
        parts = urlsplit(f"//{authority}")
        # Reading the port checks it.
        plain = parts.port is None or parts.port >= 0
    except ValueError:
        return None
    if not plain or parts.netloc != authority or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.removesuffix(".")


class HostCheck:
    """ASGI middleware: answers 403 to a foreign Host, and to a change asked for by a page from elsewhere."""

    def __init__(self, app: ASGIApp, names: HostNames) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await problem(403, refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # Only HTTP/1.0 goes without, and no browser speaks it.
        if hosts and (len(hosts) > 1 or not self._names.allows(hosts[0])):
            return "this host name is not one of the server's; add it to the allowed hosts"
        origin = headers.get("origin")
        if origin is None or scope["method"] in SAFE_METHODS:
            return None
        if hosts and urlsplit(origin).netloc.lower() == hosts[0].lower():
            return None
        return "pages of another origin may not change anything here"
