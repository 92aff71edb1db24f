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


def gil_word(has_gil: bool | None) -> str:
    """Whether the engine's threads run one at a time, as it is shown; empty where nobody knows."""
    return "" if has_gil is None else "enabled" if has_gil else "disabled"
