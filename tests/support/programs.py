"""Programs of the machine that tests check real things with. One that is missing skips the tests that need it.

`.ci/programs` installs them where it may; in CI it ends with an error where one cannot be had, so that none is skipped.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# Debian's package of each.
PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "chromium": "chromium",
    "tmux": "tmux",
    "openssl": "openssl",
    "curl": "curl",
    "postgres": "postgresql",
    "pgbouncer": "pgbouncer",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "mvn": "maven",
}
# What is installed beside the usual places.
_ELSEWHERE = {"postgres": "/usr/lib/postgresql/*/bin/postgres", "pgbouncer": "/usr/sbin/pgbouncer"}
# Begins the reason of a skip; the end of a run counts by it.
MISSING = "missing here: "
# What could not be had in this run, with the words of Maven: it is not tried again for each test.
_NOT_FETCHED: dict[str, str] = {}


def find(name: str) -> Path | None:
    """The newest one where there are several."""
    found = shutil.which(name)
    if found is None and name in _ELSEWHERE:
        found = max(glob.glob(_ELSEWHERE[name]), default=None)
    return None if found is None else Path(found)


def why_missing(*names: str) -> str | None:
    """None where all of them are here."""
    gone = [name for name in names if find(name) is None]
    if not gone:
        return None
    packages = sorted({PACKAGES[name] for name in gone})
    return f"{MISSING}{', '.join(gone)} (Debian: apt install {' '.join(packages)})"


def fetched(what: str, fetch: Callable[[], str | None]) -> None:
    """Has Maven bring `what`; `fetch` gives what went wrong. What cannot be had skips tests, or in CI fails."""
    if what not in _NOT_FETCHED:
        said = fetch()
        if said is None:
            return
        _NOT_FETCHED[what] = said
    assert "CI" not in os.environ, f"mvn could not fetch {what}:\n{_NOT_FETCHED[what]}"
    pytest.skip(f"{MISSING}{what}, which mvn could not fetch (network, proxy, or the certificates that Java trusts)")


def program(name: str) -> str:
    """The path of one; skips the test that asks where it is not here."""
    if missing := why_missing(name):
        pytest.skip(missing)
    return str(find(name))
