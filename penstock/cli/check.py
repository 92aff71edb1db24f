"""`penstock check`: says what would run, or what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import click

from penstock.cli.json_output import echo_json


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def check(file: Path, as_json: bool) -> None:
    """Check FILE and say what would run. Nothing is started, no folder and no topic is made.

    User code is imported, sources are looked at, so is the Kafka cluster of a log, and every value is held against its
    rule; the environment (PENSTOCK_…) counts as it would in a run.
    """
    from engine.runtime.wiring import check as check_wiring
    from penstock.cli.outline import outline, outline_document
    from penstock.serving import access_of
    from penstock.settings import load_settings

    settings = load_settings(file, os.environ)
    check_wiring(settings.pipeline)
    access_of(settings.management.web_config, settings.management.access)
    warnings = list(settings.warnings)
    if settings.options.kafka is not None:
        from engine.runtime.kafka_log import check_kafka_log

        warnings += check_kafka_log(settings.options.kafka, settings.pipeline.name, settings.pipeline.partitions)
    if as_json:
        echo_json(outline_document(settings, warnings))
        return
    for warning in warnings:
        click.echo(f"penstock: {warning}", err=True)
    click.echo(outline(settings))
