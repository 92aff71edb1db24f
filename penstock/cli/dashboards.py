"""`penstock dashboards`: writes the files for Grafana and Prometheus, or says whether they are as they should be."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from engine.core.extras import imported_with
from penstock.cli.groups import Group

if TYPE_CHECKING:
    from dashboards.places import Places

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)


def _addresses(command: Callable[..., Any]) -> Callable[..., Any]:
    grafana = click.option("--grafana-url", metavar="URL", help="Where alerts send their readers.")
    runbooks = click.option("--runbooks-url", metavar="URL", help="Where the folder docs/runbooks is served.")
    return grafana(runbooks(command))


def _bundle() -> ModuleType:
    with imported_with("dashboards", "grafanalib"):
        from dashboards import build as bundle
    return bundle


def _places(grafana_url: str | None, runbooks_url: str | None) -> Places:
    from dashboards.places import DEFAULT_PLACES, Places

    return Places(
        grafana=DEFAULT_PLACES.grafana if grafana_url is None else grafana_url.rstrip("/"),
        runbooks=DEFAULT_PLACES.runbooks if runbooks_url is None else runbooks_url.rstrip("/"),
    )


@click.group(cls=Group)
def dashboards() -> None:
    """Write or check the files for Grafana and Prometheus.

    They are made from the catalogue of metrics; FOLDER is that of the installed package unless another is named.
    """


@dashboards.command()
@_FOLDER
@_addresses
def build(folder: Path | None, grafana_url: str | None, runbooks_url: str | None) -> None:
    """Write the files of the bundle into FOLDER. Nothing else there is touched."""
    bundle = _bundle()
    target = folder or bundle.GENERATED
    changed = bundle.build(target, _places(grafana_url, runbooks_url))
    for path in changed:
        click.echo(target / path)
    click.echo(f"{len(bundle.files())} files in {target}, {len(changed)} changed")


@dashboards.command()
@_FOLDER
@_addresses
def check(folder: Path | None, grafana_url: str | None, runbooks_url: str | None) -> None:
    """Say which files of the bundle are in FOLDER not as they would be written; exit code 1 if any is.

    Name the same addresses as for build.
    """
    from penstock.cli.ending import RunFailed

    bundle = _bundle()
    target = folder or bundle.GENERATED
    differences = bundle.check(target, _places(grafana_url, runbooks_url))
    for difference in differences:
        click.echo(difference)
    if differences:
        named = {"--grafana-url": grafana_url, "--runbooks-url": runbooks_url}
        words = [*([] if folder is None else [str(folder)]), *(w for k, v in named.items() if v for w in (k, v))]
        command = shlex.join(["penstock", "dashboards", "build", *words])
        raise RunFailed(f"{target} is out of date ({len(differences)} of {len(bundle.files())} files); run {command}")
