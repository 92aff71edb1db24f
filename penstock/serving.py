"""The management port beside an engine, for as long as a `with` lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.runtime.door import Door
    from exporter.door import EngineDoor
    from exporter.web_config import Access


@contextmanager
def serve(
    engine: EngineDoor,
    port: int = 9600,
    *,
    host: str = "127.0.0.1",
    hosts: Iterable[str] = (),
    web_config: Path | str | None = None,
    access: Mapping[str, Literal["read", "change"]] | None = None,
) -> Iterator[str]:
    """Serves the page, the metrics and the API of `engine`, or of several that are `together`, and gives the address.

    Raises `PenstockError` when the port is in use. The history is kept in the (first) engine's data folder, over a
    restart.
    `hosts` are names besides the host's own under which it may be asked. `web_config` is a file with TLS and users,
    `access` says which of them may change something.
    """
    # Here, because a pipeline without it needs no web server.
    from exporter.management import ManagementServer

    guard = access_of(None if web_config is None else Path(web_config), access or {})
    # Of several the first one's; a bridge has none.
    data: Path | None = getattr(engine, "data_folder", None)
    server = ManagementServer(engine, host=host, port=port, allowed_hosts=hosts, access=guard, data=data)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def gateway(
    engine: Door,
    port: int = 8600,
    *,
    host: str = "127.0.0.1",
    context_path: str = "",
    web_config: Path | str | None = None,
    access: Mapping[str, Literal["read", "change"]] | None = None,
) -> Iterator[None]:
    """Takes records for `engine` over HTTP. Raises `PenstockError` when the port is in use.

    The engine should have been told to `run_forever`, or it ends with its sources. Needs the extra `gateway`.
    """
    from engine.core.extras import need

    need("gateway", "httptools", "uvloop")
    from exporter.gateway.server import GatewayServer
    from exporter.gateway.settings import GatewaySettings

    guard = access_of(None if web_config is None else Path(web_config), access or {})
    settings = GatewaySettings(host=host, port=port, context_path=context_path)
    with GatewayServer(engine, settings, access=guard):
        yield


def access_of(web_config: Path | None, rights: Mapping[str, Literal["read", "change"]]) -> Access:
    """TLS, users and rights of all ports. Raises `ConfigurationError` for a file that cannot be used."""
    from exporter.web_config import Access, Right, WebConfig

    return Access(WebConfig(web_config), {user: Right(right) for user, right in rights.items()})
