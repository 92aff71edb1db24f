"""Records as rows of a PostgreSQL table."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.exporting.postgres_rows import Postgres

_TABLE = re.compile(r"(?:([a-z_][a-z0-9_]{0,62})\.)?([a-z_][a-z0-9_]{0,62})")


def postgres(
    url: str, table: str = "penstock_records", *, timeout_ns: int = 30 * NS_PER_SECOND
) -> Callable[[], Postgres]:
    """The exporter for `Pipeline.export`. Needs the extra `postgres`.

    `url` is a connection URI or string of libpq; what it leaves out comes from libpq's environment (`PGPASSWORD` …).
    The table is made if it is not there.
    """
    # Here, because who imports all of Penstock need not have PostgreSQL's client.
    from engine.exporting.postgres_rows import Postgres, check_url

    match = _TABLE.fullmatch(table)
    if match is None:
        raise ConfigurationError(f"a table is named in lower case, with or without a schema, not {table}")
    if timeout_ns <= 0:
        raise ConfigurationError(f"the time an answer may take must be longer than 0, not {timeout_ns} ns")
    check_url(url)
    name = [part for part in match.groups() if part is not None]
    return lambda: Postgres(url, name, timeout_ns / NS_PER_SECOND)
