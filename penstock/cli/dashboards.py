"""`penstock dashboards`: writes the files for Grafana and Prometheus, or says whether they are as they should be."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)


@click.group()
def dashboards() -> None:
    """Write or check the files for Grafana and Prometheus.

    They are made from the catalogue of metrics; FOLDER is that of the installed package unless another is named.
    """


@dashboards.command()
@_FOLDER
def build(folder: Path | None) -> None:
    """Write the files into FOLDER and take away what no longer belongs there."""
    from dashboards import build as bundle

    target = folder or bundle.GENERATED
    changed = bundle.build(target)
    for path in changed:
        click.echo(target / path)
    click.echo(f"{len(bundle.files())} files in {target}, {len(changed)} changed")


@dashboards.command()
@_FOLDER
def check(folder: Path | None) -> None:
    """Say which files of FOLDER differ from what would be written; exit code 1 if any does."""
    from dashboards import build as bundle
    from penstock.cli.ending import RunFailed

    target = folder or bundle.GENERATED
    differences = bundle.check(target)
    for difference in differences:
        click.echo(difference)
    if differences:
        raise RunFailed(
            f"{target} is out of date ({len(differences)} of {len(bundle.files())} files); "
            "run penstock dashboards build"
        )
