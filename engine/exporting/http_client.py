"""HTTP as exporters need it: bounded in time, and an answer that is no success becomes the right error."""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError, PenstockError, RetryLaterError, TargetError
from engine.core.secrets import Secrets, named_address, shown_address

# The target does not like what it was sent: the same again will not do.
NOT_LIKED = frozenset({400, 413, 415, 422})
# The target has too much to do.
_BUSY = frozenset({429, 503})
_ANSWER_SHOWN_MAX = 200


class NotLikedError(PenstockError):
    """The target was reached, and refuses what it was sent."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class HttpClient:
    """Posts bodies to one address. For one thread."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_ns: int,
        ca_file: Path | None = None,
    ) -> None:
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL:
            # What is wrong with it is not repeated: it may be part of a password.
            raise ConfigurationError(f"{named_address(url)} is no URL; one is https://host:port/path") from None
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ConfigurationError(f"{named_address(url)} is no URL that begins with http:// or https://")
        # The address without what may be a password.
        self.shown = shown_address(url)
        self._secrets = Secrets.together((Secrets.of_address(url), Secrets.of_headers(headers or {})))
        if ca_file is not None and not ca_file.is_file():
            raise ConfigurationError(f"{ca_file} with certificates is not there")
        self._client = httpx.Client(
            headers=dict(headers or {}),
            # For each step of its own: to connect, and between two parts of an answer.
            timeout=timeout_ns / NS_PER_SECOND,
            verify=ssl.create_default_context(cafile=ca_file) if ca_file is not None else True,
            # What stands in the environment is for browsers; a target is what was configured.
            trust_env=False,
        )

    def post(self, body: bytes, *, path: str = "", headers: Mapping[str, str]) -> bytes:
        """The body of a 2xx answer. Raises `NotLikedError`, `RetryLaterError` or `TargetError` for all else."""
        url = self._url.copy_with(path=self._url.path.rstrip("/") + path) if path else self._url
        try:
            answer = self._client.post(url, content=body, headers=dict(headers))
        except httpx.TimeoutException as error:
            raise TargetError(f"{self.shown} does not answer in time ({type(error).__name__})") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise TargetError(f"{self.shown} cannot be reached: {self._secrets.hide(str(error))}") from error
        if answer.is_success:
            return answer.content
        # Some targets repeat what they were sent.
        said = self._secrets.hide(" ".join(answer.text.split()))[:_ANSWER_SHOWN_MAX]
        why = f"{self.shown} answers {answer.status_code}{f': {said}' if said else ''}"
        if answer.status_code in NOT_LIKED:
            raise NotLikedError(answer.status_code, why)
        if answer.status_code in _BUSY:
            raise RetryLaterError(why, _retry_after_ns(answer.headers.get("retry-after", "")))
        raise TargetError(why)

    def close(self) -> None:
        self._client.close()


def _retry_after_ns(written: str) -> int:
    """Seconds or a date; 0 for anything else."""
    if written.isascii() and written.isdecimal():
        return int(written) * NS_PER_SECOND
    try:
        return max(0, int(email.utils.parsedate_to_datetime(written).timestamp() - time.time())) * NS_PER_SECOND
    except ValueError:
        return 0
