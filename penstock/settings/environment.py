"""Reads the environment into entries: `PENSTOCK_FLOWCONTROL_WRITE_LIMIT=4000` is `flowControl.write.limit`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from penstock.settings.entries import Entry, Place

PREFIX = "PENSTOCK_"
# Flow control may be set under the names of the system it is compatible with.
FOREIGN_PREFIXES = ("ZEEBE_", "CAMUNDA_")
# What Kubernetes puts into every pod beside a service named `penstock`; it means nothing here.
_SERVICE_LINK = re.compile(r"PENSTOCK(_\w+)?_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


def read_environment(environment: Mapping[str, str]) -> list[Entry]:
    """The variables that are meant for Penstock, by name. A `_` goes one section down; `__` counts as one."""
    found = []
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX) and not _is_service_link(name, value):
            found.append(_entry(name, name.removeprefix(PREFIX), value))
        elif name.startswith(FOREIGN_PREFIXES):
            found.append(_entry(name, name, value))
    return found


def _entry(name: str, below: str, value: str) -> Entry:
    path = tuple(part.lower() for part in below.split("_") if part)
    return Entry(path, value, Place(None, (name,)))


def _is_service_link(name: str, value: str) -> bool:
    if not _SERVICE_LINK.fullmatch(name):
        return False
    # PENSTOCK_MANAGEMENT_PORT is ours too; Kubernetes writes a URL there, people a number.
    return "_SERVICE_" in name or "://" in value or "_PORT_" in name
