"""Programs of the machine that tests check real things with. One that is missing skips the tests that need it.

`.ci/programs` installs them where it may; in CI it ends with an error where one cannot be had, so that none is skipped.
"""

from __future__ import annotations

import glob
import shutil
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


def program(name: str) -> str:
    """The path of one; skips the test that asks where it is not here."""
    if missing := why_missing(name):
        pytest.skip(missing)
    return str(find(name))
