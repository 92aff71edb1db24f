"""Where to push, how often, and how patiently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from exporter.door import NS_PER_SECOND, Secrets, SettingError, named_address

INTERVAL_NS = 15 * NS_PER_SECOND
TIMEOUT_NS = 10 * NS_PER_SECOND
QUEUE_SPANS = 2048
_METRICS_PATH = "/v1/metrics"
_TRACES_PATH = "/v1/traces"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

Compression = Literal["gzip", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """Metrics: a push is one try and its repetitions within `timeout_ns`; what was not pushed is in the next one.

    `endpoint` is the URL of a collector (OTLP over HTTP); without a path, the standard one is added. Certificates
    and attributes of the resource come from the environment, under the names that OpenTelemetry documents.
    """

    endpoint: str = field(repr=False)
    interval_ns: int = INTERVAL_NS
    timeout_ns: int = TIMEOUT_NS
    compression: Compression = "gzip"
    # Names with values; may hold secrets.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        _check(self.endpoint, self.timeout_ns, self.headers)
        if self.interval_ns < NS_PER_SECOND:
            raise SettingError("interval", "must be at least 1s", f"{self.interval_ns / NS_PER_SECOND}s")

    @property
    def url(self) -> str:
        """The URL that metrics are posted to."""
        return _with_path(self.endpoint, _METRICS_PATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """Spans: a push is one try and its repetitions within `timeout_ns`; the spans of one that failed are lost.

    `endpoint` is as for metrics; what ends in their standard path is taken for the collector's.
    """

    endpoint: str = field(repr=False)
    timeout_ns: int = TIMEOUT_NS
    compression: Compression = "gzip"
    # Names with values; may hold secrets.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The share of batches that become spans.
    ratio: float = 1.0
    # As many wait to be pushed at most; what comes on top is dropped and counted.
    queue_spans: int = QUEUE_SPANS

    def __post_init__(self) -> None:
        _check(self.endpoint, self.timeout_ns, self.headers)
        if not 0 <= self.ratio <= 1:
            raise SettingError("ratio", "must lie between 0 and 1", str(self.ratio))
        if self.queue_spans < 1:
            raise SettingError("queueSpans", "must be at least 1", str(self.queue_spans))

    @property
    def url(self) -> str:
        """The URL that spans are posted to."""
        parts = urlsplit(self.endpoint)
        if parts.path.endswith(_METRICS_PATH):
            return urlunsplit(parts._replace(path=parts.path.removesuffix(_METRICS_PATH) + _TRACES_PATH))
        return _with_path(self.endpoint, _TRACES_PATH)


def secrets_of(settings: OtlpSettings | TraceSettings) -> Secrets:
    """What of them nobody may read."""
    return Secrets.together((Secrets.of_address(settings.endpoint), Secrets.of_headers(settings.headers)))


def _with_path(endpoint: str, standard: str) -> str:
    path = urlsplit(endpoint).path
    return endpoint.rstrip("/") + standard if path in ("", "/") else endpoint


def _check(endpoint: str, timeout_ns: int, headers: Mapping[str, str]) -> None:
    try:
        parts = urlsplit(endpoint)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or endpoint.strip() != endpoint:
        raise SettingError("endpoint", "must be a URL such as http://collector:4318", repr(named_address(endpoint)))
    if timeout_ns <= 0:
        raise SettingError("timeout", "must be longer than 0", f"{timeout_ns / NS_PER_SECOND}s")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise SettingError("headers", "must have names that HTTP allows", repr(name))
        if not value.isprintable() or not value.isascii():
            # The value may be a secret.
            raise SettingError(f"headers.{name}", "must be printable ASCII", "what stands there")
