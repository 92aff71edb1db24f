"""Web configs for tests, and who is in them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import bcrypt


def hashed(password: str) -> str:
    """At the lowest cost there is, for the sake of the tests."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


HASHES = {name: hashed(f"{name}'s word") for name in ("alice", "bob")}
_VERSIONS = iter(range(1, 1_000_000))


def basic(name: str, password: str) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def write(path: Path, text: str) -> Path:
    """Writes a file so that it is surely newer, whatever the resolution of the disk's clock."""
    path.write_text(text)
    version = next(_VERSIONS)
    os.utime(path, ns=(version * 10**9, version * 10**9))
    return path


def with_users(folder: Path, *names: str) -> Path:
    """A web config with these users; the password of alice is `alice's word`."""
    return write(folder / "web.yml", "basic_auth_users:\n" + "".join(f'  {n}: "{HASHES[n]}"\n' for n in names))
