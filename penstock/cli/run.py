"""`penstock run`: runs a pipeline until it has ended or is told to."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.core.secrets import shown_address

if TYPE_CHECKING:
    from engine.runtime.door import Door
    from exporter.web_config import Access
    from penstock.settings import RunSettings

# How pushes ended, by outcome.
Pushes = Callable[[], Mapping[str, int]]

log = logging.getLogger("penstock.run")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the log, instead of the file's `data`.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Management port, instead of the file's; 0 takes a free one."
)
@click.option("--no-management", is_flag=True, help="Open no management port.")
@click.option("--fail-on-rejects", is_flag=True, help="End with 3 when anything was set aside.")
def run(file: Path, data: Path | None, port: int | None, no_management: bool, fail_on_rejects: bool) -> int:
    """Run the pipeline of FILE.

    Ends by itself when everything that the sources bring is read, processed and exported. Ctrl-C and SIGTERM let
    it finish what is under way, for at most 8 seconds (engine.drainTimeout); a second one ends it at once. Nothing
    is lost either way: the next run goes on where this one stood.
    """
    from penstock.cli.log_output import configure
    from penstock.settings import load_settings

    if no_management and port is not None:
        raise click.UsageError("--port and --no-management exclude each other")
    settings = load_settings(file, os.environ, leave_code_to_workers=True)
    management = settings.management
    if no_management or port is not None:
        management = dataclasses.replace(
            management, enabled=not no_management, port=management.port if port is None else port
        )
    settings = dataclasses.replace(settings, data=data or settings.data, management=management)
    configure(settings.logging, settings.secrets)
    for warning in settings.warnings:
        log.warning(warning)
    return _run(settings, fail_on_rejects=fail_on_rejects)


def _run(settings: RunSettings, *, fail_on_rejects: bool) -> int:
    from engine.core.errors import TaskFailedError
    from penstock.cli.ending import OK, REJECTED, RunFailed
    from penstock.cli.stopping import stopped_by_signals
    from penstock.cli.summary import rejected, summary

    engine = _engine(settings)
    access = _access(settings)
    began = time.monotonic()
    # The port first: one that is in use is said before anything runs.
    with (
        _pushes(engine, settings) as pushes,
        _management(engine, settings, access, pushes),
        _gateway(engine, settings, access),
        stopped_by_signals(engine),
    ):
        engine.start()
        log.info("pipeline %s runs over %s", settings.pipeline.name, settings.data)
        try:
            with _progress(engine):
                engine.wait()
        except TaskFailedError as error:
            raise RunFailed(settings.secrets.hide(str(error))) from error
        finally:
            ended = engine.last_words()
            click.echo(summary(ended, time.monotonic() - began))
    return REJECTED if fail_on_rejects and rejected(ended) else OK


def _progress(engine: Door) -> AbstractContextManager[None]:
    if not sys.stderr.isatty():
        return nullcontext()
    # Here, because where nobody looks nothing is drawn.
    from penstock.cli.progress import progress_shown

    return progress_shown(engine.snapshot)


def _engine(settings: RunSettings) -> Door:
    if settings.options.storage == "kafka":
        from engine.instances.engine import InstanceEngine
        from exporter.build import penstock_version

        return InstanceEngine(
            settings.pipeline,
            settings.data,
            flow_control=settings.flow_control,
            options=settings.options,
            version=penstock_version(),
        )
    if settings.workers == 1:
        return settings.pipeline.run(settings.data, flow_control=settings.flow_control, options=settings.options)
    from engine.workers.blueprint import Blueprint
    from engine.workers.engine import WorkerEngine

    return WorkerEngine(
        Blueprint("penstock.working:pipeline_of_file", (str(settings.file),)),
        settings.data,
        workers=settings.workers,
        name=settings.pipeline.name,
        flow_control=settings.flow_control,
        options=settings.options,
    )


@contextmanager
def _pushes(engine: Door, settings: RunSettings) -> Iterator[Pushes | None]:
    """Metrics go to a collector, once more after the engine has ended; gives how that went."""
    if settings.otlp is None:
        yield None
        return
    from exporter.otlp.pusher import OtlpPusher

    with OtlpPusher(engine, settings.otlp) as pusher:
        log.info("metrics are pushed to %s", shown_address(settings.otlp.url))
        yield lambda: pusher.outcomes


def _access(settings: RunSettings) -> Access | None:
    """One for both ports; None where none is open."""
    if not settings.management.enabled and settings.gateway is None:
        return None
    from penstock.serving import access_of

    return access_of(settings.management.web_config, settings.management.access)


@contextmanager
def _management(engine: Door, settings: RunSettings, access: Access | None, pushes: Pushes | None) -> Iterator[None]:
    if not settings.management.enabled:
        yield
        return
    from exporter.management import ManagementServer
    from penstock.cli.another_port import another_port

    where = settings.management
    server = ManagementServer(
        engine,
        host=where.host,
        port=where.port,
        allowed_hosts=where.hosts,
        access=access,
        pushes=pushes,
        secrets=settings.secrets,
        data=engine.data_folder,
    )
    with another_port("--port or management.port names"):
        server.start()
    log.info("%s shows what happens", server.url)
    try:
        yield
    finally:
        server.stop()


@contextmanager
def _gateway(engine: Door, settings: RunSettings, access: Access | None) -> Iterator[None]:
    if settings.gateway is None:
        yield
        return
    from exporter.gateway.server import GatewayServer
    from penstock.cli.another_port import another_port

    with ExitStack() as stack:
        with another_port("gateway.port names"):
            server = stack.enter_context(GatewayServer(engine, settings.gateway, access=access))
        log.info("%s/v1/records takes records", server.url)
        yield
