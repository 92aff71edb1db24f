import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def forget_user_code() -> Iterator[None]:
    """Takes back the folders that a test appended to the import path, and the modules that came from there."""
    before = sys.path[:]
    yield
    folders = tuple(folder for folder in sys.path if folder not in before)
    sys.path[:] = before
    for name, module in [*sys.modules.items()]:
        if folders and (getattr(module, "__file__", None) or "").startswith(folders):
            del sys.modules[name]
