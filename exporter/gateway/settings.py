"""What the gateway listens on and how much it takes at once."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.door import NS_PER_SECOND, SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Every bound is on what a stranger can make this process hold."""

    host: str = "127.0.0.1"
    port: int = 8600
    # Put before the path of every route: `/ingest` makes it `/ingest/v1/records`.
    context_path: str = ""
    # One body, and all bodies that are being read or written at the same time.
    body_bytes_max: int = 4 * 1024 * 1024
    bodies_bytes_max: int = 32 * 1024 * 1024
    records_max: int = 10_000
    connections_max: int = 1000
    # From a request's first byte to its last; also how long a new connection may keep silent.
    request_timeout_ns: int = 30 * NS_PER_SECOND

    def __post_init__(self) -> None:
        path = self.context_path
        if path and (not path.startswith("/") or path.endswith("/") or "//" in path or not path.isascii()):
            raise SettingError("contextPath", "must begin with / and not end with it, like /ingest", path)
        for key, value in (
            ("maxBodySize", self.body_bytes_max),
            ("maxRecords", self.records_max),
            ("maxConnections", self.connections_max),
            ("requestTimeout", self.request_timeout_ns),
        ):
            if value < 1:
                raise SettingError(key, "must be greater than 0", value)
        if self.bodies_bytes_max < self.body_bytes_max:
            raise SettingError("maxBodiesSize", "must be at least maxBodySize", self.bodies_bytes_max)
