"""What the README shows can be done: its file is fine, its program runs, its links lead somewhere."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "docs/demo.md"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("flights.py", "flights.ndjson.gz"):
        shutil.copy(ROOT / "examples/flights" / name, tmp_path / name)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_configuration_file_is_fine(folder: Path) -> None:
    (file,) = blocks("yaml")
    (folder / "flights.yaml").write_text(file)
    found = run(folder, "-m", "penstock", "check", "flights.yaml")
    assert (found.returncode, found.stderr) == (0, "")
    assert "at most 4000 records per second and partition" in found.stdout


def test_the_program_counts_all_flights(folder: Path) -> None:
    program, _ = blocks("python")
    # Any free port, and no limit that takes twenty seconds.
    quick = program.replace("port=9600", "port=0").replace("limit=4000", "limit=1_000_000")
    assert quick.count("port=0") == quick.count("limit=1_000_000") == 1
    # Fewer flights tell the same.
    lines = gzip.decompress((folder / "flights.ndjson.gz").read_bytes()).splitlines(keepends=True)[:500]
    (folder / "flights.ndjson.gz").write_bytes(gzip.compress(b"".join(lines)))
    (folder / "program.py").write_text(quick)
    found = run(folder, "program.py")
    assert found.returncode == 0, found.stderr
    out = "".join((folder / f"out/delays-{partition}.ndjson").read_text() for partition in (1, 2))
    assert out.count('"valueType":"departure"') == 500


def test_the_processor_counts(folder: Path) -> None:
    _, processor = blocks("python")
    (folder / "counting.py").write_text("import json\n" + processor + "\n\nparse = json.loads\n")
    (folder / "counting.yaml").write_text(
        "pipeline:\n  name: counting\n  sources: {flights: {lines: {path: flights.ndjson}}}\n"
        '  transforms: [{parse: {map: "counting:parse"}}]\n  key: origin\n  processor: "counting:CountByAirport"\n'
        "  exporters: {out: {jsonl: {path: out.ndjson}, valueTypes: [counted]}}\nmanagement: {enabled: false}\n"
    )
    (folder / "flights.ndjson").write_text('{"origin": "JFK"}\n{"origin": "LGA"}\n{"origin": "JFK"}\n')
    found = run(folder, "-m", "penstock", "run", "counting.yaml")
    assert found.returncode == 0, found.stderr
    assert '"value":{"origin":"JFK","flights":2}' in (folder / "out.ndjson").read_text()


def test_every_command_that_it_names_exists() -> None:
    from penstock.cli.main import commands

    named = set(re.findall(r"(?<!from )\bpenstock ([a-z]+(?:-[a-z]+)*)\b(?= |`|$)", README, re.MULTILINE))
    assert {"demo", "run", "check", "simulate", "flow-control", "back-pressure", "dashboards"} <= named
    assert named <= set(commands.list_commands(click.Context(commands)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert targets
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert not missing
