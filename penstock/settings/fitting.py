"""Whether a user's function or class fits where it is named, as far as that shows without calling it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.core.errors import ConfigurationError


def check_function(function: Callable[..., Any], takes: str) -> None:
    """It can be called with one thing: `takes`, in words. Raises `ConfigurationError`."""
    _check_call(function, 1, f"is called with {takes} alone")


def check_class(made: Callable[..., Any], methods: Mapping[str, Sequence[str]], options: Mapping[str, Any]) -> None:
    """It can be made with `options`, and has `methods` that take these arguments. Raises `ConfigurationError`."""
    try:
        inspect.signature(made).bind(**options)
    except TypeError as error:
        what = "options do not fit the class" if options or inspect.isclass(made) else "it is called with nothing"
        raise ConfigurationError(f"{what}: {error}") from None
    except ValueError:
        # Something built in, which has no signature to look at.
        return
    if not inspect.isclass(made):
        # What a function makes is only seen when it is called.
        return
    for method, arguments in methods.items():
        found = getattr(made, method, None)
        if not callable(found):
            raise ConfigurationError(f"class {made.__name__} has no method {method}({', '.join(arguments)})")
        is_static = isinstance(inspect.getattr_static(made, method), staticmethod | classmethod)
        _check_call(found, len(arguments) + (not is_static), f"{method} is called with {' and '.join(arguments)}")


def _check_call(function: Callable[..., Any], count: int, rule: str) -> None:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError as error:
        raise ConfigurationError(f"{rule}, and does not fit: {error}") from None
    except ValueError:
        return
