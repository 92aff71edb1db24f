"""`penstock bridge`: another engine, with Penstock's page, metrics and API in front of it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.duration import Duration
from penstock.cli.groups import Group

if TYPE_CHECKING:
    from engine.core.secrets import Secrets
    from exporter.door import EngineDoor

log = logging.getLogger("penstock.bridge")
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(cls=Group)
def bridge() -> None:
    """Look at another engine as if it were a pipeline of Penstock's."""


def port_options(command: Command) -> Command:
    """Where the management port listens, and where else its metrics go; the same for all that only look."""
    options = (
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=9600,
            show_default=True,
            help="Management port; 0 takes a free one.",
        ),
        click.option("--host", default="127.0.0.1", show_default=True, help="Address of the management port."),
        click.option(
            "--allow-host",
            "allowed_hosts",
            multiple=True,
            help="A host name by which the port may be asked for, besides addresses. May be repeated; * is any.",
        ),
        click.option(
            "--web-config",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A file with TLS and users of the port.",
        ),
        click.option("--otlp", metavar="URL", help="Push the metrics to this OpenTelemetry collector too, over HTTP."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@bridge.command("flink")
@click.argument("url")
@click.option("--name", default="flink", show_default=True, help="The pipeline under which the bridge tells of itself.")
@click.option("--interval", type=Duration(), default="10s", show_default=True, help="How often Flink is looked at.")
@click.option(
    "--refresh-interval",
    type=Duration(),
    default="60s",
    show_default=True,
    help="Of a Flink up to 1.12, where a look starts a measurement: how often one may be started.",
)
@port_options
def flink(url: str, name: str, interval: float, refresh_interval: float, **port: Any) -> None:
    """Serve the jobs of a Flink cluster, seen over its REST API at URL (1.5 to 2.x), until Ctrl-C.

    Each job is a pipeline of its own, with the page, the metrics, the history and the API that Penstock's own have,
    and with the task to blame, which Flink does not name. A user and a password may stand in URL.
    """
    from penstock.bridges import flink as bridge_to_flink

    found = bridge_to_flink(url, name=name, interval_seconds=interval, refresh_interval_seconds=refresh_interval)
    with served(found, found.secrets, **port) as address, found:
        log.info("%s shows %s, looked at every %g s", address, found.shown, interval)
        wait_for_signal()


@bridge.command("zeebe")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--name", default="zeebe", show_default=True, help="The pipeline under which the cluster is shown.")
@click.option("--interval", type=Duration(), default="10s", show_default=True, help="How often it is looked at.")
@port_options
def zeebe(urls: tuple[str, ...], name: str, interval: float, **port: Any) -> None:
    """Serve a Zeebe cluster (8.6 and later), seen over the management ports of its brokers, until Ctrl-C.

    Experimental: made from the public documentation, not run against a broker. Backlogs, limits, throttling and who is
    to blame; write limits can be changed, and with a time to live they revert by themselves.
    """
    from penstock.bridges import zeebe as bridge_to_zeebe

    found = bridge_to_zeebe(*urls, name=name, interval_seconds=interval)
    with served(found, found.secrets, **port) as address, found:
        log.info("%s shows %s (experimental), looked at every %g s", address, found.shown, interval)
        wait_for_signal()


@contextmanager
def served(
    engine: EngineDoor,
    secrets: Secrets,
    *,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    web_config: Path | None,
    otlp: str | None,
) -> Iterator[str]:
    """The management port over something that is only looked at, and pushes where they are wanted; its address."""
    from engine.core.secrets import Secrets
    from exporter.management import ManagementServer
    from penstock.cli.another_port import another_port
    from penstock.cli.log_output import configure
    from penstock.serving import access_of
    from penstock.settings import LoggingSettings

    configure(LoggingSettings(), Secrets.together((secrets, Secrets.of_address(otlp))))
    with ExitStack() as stack:
        pushes = None
        if otlp is not None:
            from exporter.otlp.pusher import OtlpPusher
            from exporter.otlp.settings import OtlpSettings

            pusher = stack.enter_context(OtlpPusher(engine, OtlpSettings(endpoint=otlp)))

            def pushes() -> Any:
                return pusher.outcomes

        server = ManagementServer(
            engine,
            host=host,
            port=port,
            allowed_hosts=allowed_hosts,
            access=access_of(web_config, {}),
            pushes=pushes,
        )
        with another_port("--port names"):
            stack.enter_context(server)
        yield server.url


def wait_for_signal() -> None:
    """Until Ctrl-C or SIGTERM. For the main thread."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        # In pieces, so that a signal is seen on every platform.
        while not ended.wait(1.0):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
