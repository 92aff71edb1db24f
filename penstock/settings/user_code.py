"""Finds the functions and classes of users: `module:name`, with the YAML's folder at the end of the import path."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class UserCodeError(Exception):
    """Code that cannot be used; the text goes behind the name of the key."""


def load(reference: str, folder: Path) -> Callable[..., Any]:
    """What `reference` names, imported. Raises `UserCodeError` with the reason, one sentence.

    The folder is appended to `sys.path`, never put in front: a file of the user must not stand in for a module
    of ours or of the standard library. One of the same name is an error, not a surprise.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise UserCodeError(f"must be written as module:name, not {reference}")
    _check_collision(module_name.split(".")[0], folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UserCodeError(f"names a module {module_name!r} that is neither in {folder} nor installed") from None
        raise UserCodeError(_failure(module_name, error)) from error
    # Whatever a user's module does when it is imported, the answer is one line.
    except Exception as error:
        raise UserCodeError(_failure(module_name, error)) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserCodeError(f"names {part!r}, which {module.__file__} does not have{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise UserCodeError(f"must name a function or class, and {reference} is neither")
    loaded: Callable[..., Any] = found
    return loaded


def _check_collision(top: str, folder: Path) -> None:
    """Refuses a module of the folder whose name another importable module has."""
    ours = next((f for f in (folder / f"{top}.py", folder / top / "__init__.py") if f.is_file()), None)
    if ours is None:
        return
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != folder.resolve()]
    try:
        other = importlib.util.find_spec(top)
    except ValueError:  # a module that was put together by hand has no spec
        other = None
    finally:
        sys.path[:] = path
    # A folder without __init__.py has no origin, and gives way to a real module wherever that stands.
    if other is None or other.origin is None:
        return
    if Path(other.origin).exists() and Path(other.origin).samefile(ours):
        return
    raise UserCodeError(f"names a module {top!r} of which there are two: {ours} and {other.origin}; rename yours")


def _failure(module: str, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    # The last line of the user's, not of the import machinery.
    own = [frame for frame in frames if "importlib" not in frame.filename]
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({error.filename}:{error.lineno})"
    elif len(own) > 1:
        where = f" ({own[-1].filename}:{own[-1].lineno})"
    else:
        where = ""
    said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return f"cannot import {module!r}: {type(error).__name__}: {said}{where}"
