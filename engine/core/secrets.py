"""What nobody may read in a log line, an error, an answer or on a page: passwords, tokens, addresses that hold them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

# What stands in a secret's place.
HIDDEN = "***"
# Shorter ones stand in words that mean something else.
_CHARACTERS_MIN = 4
_USER_INFO = re.compile(r"://(.*)@", re.DOTALL)
_UNKNOWN = "the configured address"
# A user of this name is no secret: hidden, it would be missing in every second line.
_OWN_NAME = "penstock"
# Headers whose values are the same everywhere.
_PLAIN_HEADERS = frozenset({"accept", "accept-encoding", "content-type", "content-encoding", "user-agent", "host"})


def shown_address(url: str) -> str:
    """An address without user, password, query and fragment; words where these cannot be told apart."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _UNKNOWN
    # A slash in a password ends the host's part early, and what is behind it would be taken for a path.
    if not parts.scheme or not host or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return _UNKNOWN
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"


def named_address(url: str) -> str:
    """An address that cannot be one, for who has to find it: as it is written, where nothing in it can be a secret."""
    return _UNKNOWN if "@" in url or "?" in url else url


@dataclass(frozen=True, slots=True)
class Secrets:
    """Texts that are taken out of whatever is said."""

    texts: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, *values: str | None) -> Self:
        return cls(frozenset(value for value in values if value is not None and len(value) >= _CHARACTERS_MIN))

    @classmethod
    def of_address(cls, url: str | None) -> Self:
        """User and password, together and alone, as they are written and as they are sent; values of the query."""
        return cls.of(*_of_address(url or ""))

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> Self:
        """Their values, and what stands in these behind a scheme."""
        values = [value for name, value in headers.items() if name.lower() not in _PLAIN_HEADERS]
        return cls.of(*values, *(value.partition(" ")[2] for value in values))

    @classmethod
    def together(cls, parts: Iterable[Secrets]) -> Self:
        return cls(frozenset[str]().union(*(part.texts for part in parts)))

    def hide(self, text: str) -> str:
        # The longest first: one may be a part of another.
        for secret in sorted(self.texts, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


def _of_address(url: str) -> Iterator[str]:
    found = _USER_INFO.search(url)
    if found is not None:
        written = found[1]
        # A password may hold what a parser takes for an end of it.
        for info in {written, unquote(written)}:
            texts = {info, *info.split(":", 1), *re.split("[:@/?#]", info)}
            yield from texts if _OWN_NAME in info.partition(":")[2] else texts - {_OWN_NAME}
            yield base64.b64encode(info.encode()).decode()
    try:
        query = urlsplit(url).query
    except ValueError:
        return
    for _, value in parse_qsl(query):
        yield value
