"""Which build of Penstock is running."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def penstock_version() -> str:
    """The installed version; `unknown` when run from a folder that was never installed."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "unknown"


@cache
def python_version() -> str:
    return platform.python_version()
