"""Reads the page's files out of the package, once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it goes over the wire; `etag` is a hash of the body, quoted."""

    body: bytes
    media_type: str
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every script, style sheet and picture, by its path below `static/`."""
    return MappingProxyType(dict(_assets(files(__package__) / "static", "")))


def page_html(*, pipeline: str, version: str, instance: str | None = None) -> str:
    """The page itself, for one pipeline; `instance` is the one that serves it, of several that share the pipeline."""
    told = {"pipeline": pipeline, "version": version, "instance": instance or ""}
    # In one pass: what a name holds is no place to put something in.
    return re.sub(r"{{(\w+)}}", lambda place: escape(told[place[1]]), _template())


@cache
def _template() -> str:
    return (files(__package__) / "static" / "index.html").read_text(encoding="utf-8")


def _assets(folder: Traversable, above: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _assets(entry, f"{above}{entry.name}/")
            continue
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in _MEDIA_TYPES:
            body = entry.read_bytes()
            yield (
                f"{above}{entry.name}",
                Asset(body, _MEDIA_TYPES[suffix], f'"{hashlib.sha256(body).hexdigest()[:20]}"'),
            )
