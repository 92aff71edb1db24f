"""`penstock demo`: a pipeline that gets into trouble and out of it, in front of your eyes."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.duration import Duration


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the log in this folder, and go on there next time.",
)
@click.option("--duration", type=Duration(), help="Go on for so long (90s, 10m), phases repeating.")
@click.option("--loop", is_flag=True, help="Repeat the phases until Ctrl-C.")
@click.option("--fast", is_flag=True, help="Phases a quarter as long.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9600,
    show_default=True,
    help="Management port; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the management port.")
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    help="A host name by which the port may be asked for, besides addresses. May be repeated; * is any.",
)
@click.option("--no-tty", is_flag=True, help="A status line every few seconds, as when the output is no terminal.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
def demo(
    data: Path | None,
    duration: float | None,
    loop: bool,
    fast: bool,
    port: int,
    host: str,
    allowed_hosts: tuple[str, ...],
    no_tty: bool,
    open_browser: bool,
) -> None:
    """Watch flow control and back pressure at work, on real flights.

    A month of flights is replayed through two partitions. An exporter gets slow, writes are throttled, it
    recovers; then one task gets slow. About three minutes (--fast: 45 seconds), then a summary. Everything runs in
    this process; its log lies in a folder of its own that is removed at the end.
    """
    from rich.console import Console

    from engine.core.errors import TaskFailedError
    from penstock.cli.ending import RunFailed
    from penstock.demo.show import DemoSettings, show_demo

    console = Console()
    live = console.is_terminal and not no_tty
    if not live:
        from penstock.cli.log_output import configure
        from penstock.settings import LoggingSettings

        configure(LoggingSettings())
    settings = DemoSettings(
        data=data,
        host=host,
        port=port,
        allowed_hosts=allowed_hosts,
        fast=fast,
        loop=loop,
        seconds=duration,
        live=live,
        open_browser=open_browser,
    )
    try:
        click.echo(show_demo(settings, console))
    except TaskFailedError as error:
        raise RunFailed(str(error)) from error
