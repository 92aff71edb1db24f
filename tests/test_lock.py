"""The lock files are of `pyproject.toml` as it is: looked at without network."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# What each file locks.
FILES = {"runtime": None, "image": "all", "dev": "dev", "docs": "docs"}


@dataclass(frozen=True, slots=True)
class Locked:
    name: str
    version: str
    marker: Marker | None
    hashes: int

    @property
    def is_for_here(self) -> bool:
        return self.marker is None or self.marker.evaluate()


def locked(file: str) -> dict[str, list[Locked]]:
    """By name: more than one where Pythons or systems want different versions."""
    text = (ROOT / "requirements" / f"{file}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[Locked]] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        written, *hashes = line.split("--hash=")
        requirement = Requirement(written.strip())
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        name = canonicalize_name(requirement.name)
        found.setdefault(name, []).append(Locked(name, pin.version, requirement.marker, len(hashes)))
    return found


def wanted(extra: str | None) -> list[Requirement]:
    """What `pyproject.toml` asks for, with what its own extras name each other."""
    asked = [*PROJECT["dependencies"]]
    extras = [] if extra is None else [extra]
    while extras:
        for text in EXTRAS[extras.pop()]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["name"]:
                extras += requirement.extras
            else:
                asked.append(text)
    return [Requirement(text) for text in asked]


@pytest.mark.parametrize("file", FILES)
def test_each_dependency_is_locked_in_its_range(file: str) -> None:
    there = locked(file)
    wrong = [
        str(requirement)
        for requirement in wanted(FILES[file])
        if not any(
            requirement.specifier.contains(one.version) for one in there.get(canonicalize_name(requirement.name), ())
        )
    ]
    assert not wrong, "make lock"


@pytest.mark.parametrize("file", FILES)
def test_each_version_has_hashes(file: str) -> None:
    assert all(one.hashes for entries in locked(file).values() for one in entries)


@pytest.mark.parametrize("file", ["runtime", "image", "docs"])
def test_the_files_agree_on_the_versions(file: str) -> None:
    dev = {(one.name, one.version) for entries in locked("dev").values() for one in entries}
    names = {name for name, _ in dev}
    here = {(one.name, one.version) for entries in locked(file).values() for one in entries if one.name in names}
    assert here <= dev, "make lock"


def needed(extra: str | None) -> set[str]:
    """All that is asked for on this machine, as what is installed says of itself."""
    found: set[str] = set()
    waiting = wanted(extra)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
        ):
            continue
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found |= {key, name}
        for text in importlib.metadata.requires(name) or ():
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                inner.marker = None
                waiting.append(inner)
    return {name for name in found if "[" not in name}


@pytest.mark.parametrize("file", ["runtime", "image", "dev"])
def test_all_that_is_needed_here_is_locked_and_nothing_else(file: str) -> None:
    here = {name for name, entries in locked(file).items() if any(one.is_for_here for one in entries)}
    assert here == needed(FILES[file]), "make lock"


def test_the_image_installs_what_others_wrote_before_what_changes() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (locking,) = (i for i, line in enumerate(lines) if "--require-hashes" in line)
    first = min(i for i, line in enumerate(lines) if re.match(r"COPY (?!requirements/image\.txt|--from)", line))
    assert locking < first
    assert "!requirements" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
