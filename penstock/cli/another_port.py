"""What to do about a port that cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from exporter.http_server import PortError


@contextmanager
def another_port(named_by: str) -> Iterator[None]:
    """Says, behind a port that cannot be had while one is opened, what names another."""
    try:
        yield
    except PortError as error:
        raise PortError(f"{error}; {named_by} another") from error
