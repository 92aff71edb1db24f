"""Which values of a file and of the environment are secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.core.secrets import Secrets
from penstock.settings.entries import Path
from penstock.settings.schema import Root

# Keys below which a value, however wrong it is, may be one: it is not repeated in an error.
_KEYS = frozenset({"url", "endpoint", "headers", "username", "password", "apiKey", "options"})
# Options of a user's class whose values are.
_OPTION = re.compile("pass|secret|token|key|credential|auth|dsn", re.IGNORECASE)
# OpenTelemetry reads these itself, and repeats what it cannot read.
_HEADERS = re.compile("OTEL_EXPORTER_OTLP_([A-Z]+_)?HEADERS")
WHAT_STANDS_THERE = "what stands there"


def may_be_secret(path: Path, value: object) -> bool:
    """Whether a value at this place must not be repeated."""
    return not _KEYS.isdisjoint(map(str, path)) or "://" in str(value) or "@" in str(value)


def secrets_of(root: Root, environment: Mapping[str, str]) -> Secrets:
    """All of them, for whoever writes what others read."""
    return Secrets.together(_parts(root, environment))


def _parts(root: Root, environment: Mapping[str, str]) -> Iterator[Secrets]:
    for exporter in root.pipeline.exporters.values():
        if exporter.postgres is not None:
            yield Secrets.of_address(exporter.postgres.url)
        if (elasticsearch := exporter.elasticsearch) is not None:
            yield Secrets.of_address(elasticsearch.url)
            yield Secrets.of(elasticsearch.password, elasticsearch.api_key)
        if exporter.http is not None:
            yield Secrets.of_address(exporter.http.url)
            yield Secrets.of_headers(exporter.http.headers)
        yield Secrets.of(*_of_options(exporter.options))
    for endpoint in (root.otlp.endpoint, root.otlp.traces.endpoint):
        yield Secrets.of_address(endpoint)
    yield Secrets.of_headers(root.otlp.headers)
    for name, value in environment.items():
        if _HEADERS.fullmatch(name):
            yield Secrets.of(value, *(pair.partition("=")[2] for pair in value.split(",")))


def _of_options(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _of_options(value)
        elif isinstance(value, str):
            yield from Secrets.of_address(value).texts
            if _OPTION.search(key):
                yield value
