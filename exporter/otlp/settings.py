"""Where to push, how often, and how patiently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from exporter.door import NS_PER_SECOND, SettingError

INTERVAL_NS = 15 * NS_PER_SECOND
TIMEOUT_NS = 10 * NS_PER_SECOND
_METRICS_PATH = "/v1/metrics"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """A push is one try and its repetitions within `timeout_ns`; what was not pushed is in the next one.

    `endpoint` is the URL of a collector (OTLP over HTTP); without a path, the standard one is added. Certificates
    and attributes of the resource come from the environment, under the names that OpenTelemetry documents.
    """

    endpoint: str
    interval_ns: int = INTERVAL_NS
    timeout_ns: int = TIMEOUT_NS
    compression: Literal["gzip", "none"] = "gzip"
    # Names with values; may hold secrets.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.endpoint)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_url = False
        if not is_url or self.endpoint.strip() != self.endpoint:
            raise SettingError("endpoint", "must be a URL such as http://collector:4318", repr(self.endpoint))
        if self.interval_ns < NS_PER_SECOND:
            raise SettingError("interval", "must be at least 1s", f"{self.interval_ns / NS_PER_SECOND}s")
        if self.timeout_ns <= 0:
            raise SettingError("timeout", "must be longer than 0", f"{self.timeout_ns / NS_PER_SECOND}s")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise SettingError("headers", "must have names that HTTP allows", repr(name))
            if not value.isprintable() or not value.isascii():
                # The value may be a secret.
                raise SettingError(f"headers.{name}", "must be printable ASCII", "what stands there")

    @property
    def url(self) -> str:
        """The URL that metrics are posted to."""
        path = urlsplit(self.endpoint).path
        return self.endpoint.rstrip("/") + _METRICS_PATH if path in ("", "/") else self.endpoint
