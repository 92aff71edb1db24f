"""`penstock new`: a pipeline of one's own, to begin with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="Where; a folder NAME here if not given.")
def new(name: str, folder: Path | None) -> None:
    """Make a pipeline to begin with: configuration, processor, data and a test.

    NAME is its name and its module's: lower-case letters, digits and underscores.
    """
    from penstock.starter import make

    made = make(name, folder or Path(name))
    place = made[0].parent
    click.echo(f"made {place}: {', '.join(path.name for path in made)}")
    commands = (
        f"cd {place}",
        f"penstock check {name}.yaml",
        f"penstock run {name}.yaml",
        "pip install pytest",
        "pytest",
    )
    click.echo("\n  ".join(("next:", *commands)))
