"""What not everybody installs: the distribution's extras, and what is said where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from engine.core.errors import ConfigurationError


class MissingExtraError(ConfigurationError, ImportError):
    """Packages of an extra are not installed; the text has the command that installs them."""


def need(extra: str, *modules: str) -> None:
    """Raises `MissingExtraError` where a module is not to be found. Looks, and imports none of them."""
    for module in modules:
        if not _is_here(module):
            raise _missing(extra, module)


@contextmanager
def imported_with(extra: str, *modules: str) -> Iterator[None]:
    """Around the imports of a library: raises `MissingExtraError` where it, or a part of it, cannot be had."""
    try:
        yield
    except ImportError as error:
        # Without a name: the library itself misses something (psycopg its libpq).
        if error.name is not None and error.name.partition(".")[0] not in modules:
            raise
        raise _missing(extra, error.name or modules[0]) from error


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # Its package is not.
        return False


def _missing(extra: str, module: str) -> MissingExtraError:
    package = module.partition(".")[0].replace("_", "-")
    return MissingExtraError(f"this needs {package}, which is not installed: pip install 'penstock[{extra}]'")
