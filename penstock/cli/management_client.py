"""Talks to the management port of a running pipeline, for the commands that look at one or change it."""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlencode, urlsplit, urlunsplit

import click
import msgspec

from engine.core.errors import ConfigurationError
from engine.core.secrets import named_address
from penstock.cli.ending import RunFailed

DEFAULT_URL = "http://127.0.0.1:9600"
_TIMEOUT_SECONDS = 10
# Far more than any answer has; a wrong address must not fill the memory.
_ANSWER_BYTES_MAX = 64 * 1024 * 1024

Command = TypeVar("Command", bound=Callable[..., Any])


def url_option(command: Command) -> Command:
    """`--url`, the same for every command."""
    return click.option(
        "--url",
        default=DEFAULT_URL,
        show_default=True,
        metavar="URL",
        help="Management port of the running pipeline; a user may stand in it: https://alice:secret@host:9600.",
    )(command)


class ManagementClient:
    """Asks the port at `url`, which may name a user and a password."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port is not None else ""
        except ValueError:
            # It may hold a password.
            raise click.UsageError("--url is no address; it is written as https://user:password@host:9600") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.UsageError(
                f"--url must begin with http:// or https:// and name a host, not {named_address(url)}"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._base = urlunsplit((parts.scheme, host + port, parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": "application/json", **_authorization(parts)}

    def get(self, path: str, query: Sequence[tuple[str, object]] = ()) -> Any:
        return self._ask("GET", path, query)

    def post(self, path: str) -> Any:
        """Asks for something that needs no words."""
        return self._ask("POST", path, ())

    def patch(self, path: str, body: object, query: Sequence[tuple[str, object]] = ()) -> Any:
        """Sends a JSON merge patch."""
        return self._ask("PATCH", path, query, body=body)

    def delete(self, path: str, query: Sequence[tuple[str, object]] = ()) -> Any:
        return self._ask("DELETE", path, query)

    def _ask(self, method: str, path: str, query: Sequence[tuple[str, object]], *, body: object = None) -> Any:
        """The answer's JSON. Raises `ConfigurationError` for a refusal and `RunFailed` where there is no answer."""
        address = f"{self._base}{path}{'?' + urlencode(query) if query else ''}"
        headers = dict(self._headers)
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/merge-patch+json"
        request = urllib.request.Request(address, data=content, headers=headers, method=method)
        try:
            with _opener().open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return msgspec.json.decode(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except msgspec.DecodeError:
            raise RunFailed(f"what answers at {self._base} is no management port of Penstock") from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise RunFailed(f"{self._base} does not answer: {text.lower()}; is the pipeline running?") from None


def _opener() -> urllib.request.OpenerDirector:
    # Without the environment's proxies: the port is on this machine or in its network.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _authorization(parts: SplitResult) -> Mapping[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _refusal(error: urllib.error.HTTPError) -> Exception:
    """What the port says is wrong, all of it, in one line."""
    try:
        said = msgspec.json.decode(error.read(_ANSWER_BYTES_MAX))
        details = [part["detail"] for part in said.get("errors") or ()] or [said["detail"]]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return RunFailed(f"{error.url} answers {error.code} {error.reason}")
    text = "; ".join(details)
    # 4xx: what was asked for cannot be; 5xx: it could, and was not done.
    return ConfigurationError(text) if error.code < 500 else RunFailed(text)
