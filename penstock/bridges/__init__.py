"""Other people's engines, seen as if they were pipelines: `penstock.bridges.flink("http://jobmanager:8081")`.

A bridge stands behind the exporter's door: `serve`, `PenstockCollector` and `OtlpPusher` take it as an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.bridges.flink_rest.cluster import FlinkBridge
    from penstock.bridges.zeebe_http.cluster import ZeebeBridge

__all__ = ["flink", "zeebe"]


def flink(
    url: str, *, name: str = "flink", interval_seconds: float = 10.0, refresh_interval_seconds: float = 60.0
) -> FlinkBridge:
    """A bridge to the Flink whose REST API is at `url`, in which a user and a password may stand.

    `name` is the pipeline under which the bridge tells of itself. Flink is looked at every `interval_seconds`; back
    pressure of one up to 1.12, where a look may start a measurement, is measured once in `refresh_interval_seconds`.
    Looks from `start` (or `with`) to `stop`. Raises `ConfigurationError` for an address that is none.
    """
    # Here, because who bridges to nothing needs no client.
    from penstock.bridges.flink_rest.cluster import FlinkBridge, FlinkSettings

    return FlinkBridge(
        FlinkSettings(
            url=url,
            name=name,
            interval_ns=round(interval_seconds * 1_000_000_000),
            refresh_interval_ns=round(refresh_interval_seconds * 1_000_000_000),
        )
    )


def zeebe(*urls: str, name: str = "zeebe", interval_seconds: float = 10.0) -> ZeebeBridge:
    """A bridge to the Zeebe whose brokers have their management ports at `urls`; users may stand in them.

    Experimental: made from the public documentation, not run against a broker. Looks from `start` (or `with`) to
    `stop`. Raises `ConfigurationError` for an address that is none.
    """
    from penstock.bridges.zeebe_http.cluster import ZeebeBridge, ZeebeSettings

    return ZeebeBridge(ZeebeSettings(urls=urls, name=name, interval_ns=round(interval_seconds * 1_000_000_000)))
