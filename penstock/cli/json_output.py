"""`--json`: what a command shows as a table, for programs."""

from __future__ import annotations

from typing import Any

import click


def echo_json(answer: Any, *, indent: int = 2) -> None:
    """Over lines, or with an indent of -1 as one line."""
    # Here, because most commands are asked for a table.
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=indent).decode())
