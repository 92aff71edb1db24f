"""The generated files are what the code says, the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards.build import GENERATED, build, check, files

ROOT = Path(__file__).parents[2]


def test_the_committed_files_are_in_sync_with_the_code() -> None:
    assert check() == []
    found = {path.relative_to(GENERATED) for path in GENERATED.rglob("*") if path.is_file()}
    assert found == set(files()), "and there is nothing else beside them"


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_the_files_do_not_depend_on_the_process_that_writes_them(seed: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "penstock", "dashboards", "build", str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    committed = {path.relative_to(GENERATED): path.read_bytes() for path in GENERATED.rglob("*") if path.is_file()}
    assert {
        path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    } == committed


def test_every_difference_is_named(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "grafana/penstock-overview.json").write_bytes(b"\xff{}")
    (tmp_path / "prometheus/penstock.alerts.yml").unlink()
    assert check(tmp_path) == [
        "grafana/penstock-overview.json is not what the code says",
        "prometheus/penstock.alerts.yml is missing",
    ]


def test_building_mends_every_difference_and_touches_nothing_of_others(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "grafana/penstock-overview.json").write_text("{}")
    mine = [
        tmp_path / name for name in ("notes.txt", "grafana/ours.json", "prometheus/ours.yml", "grafana/penstock-x.json")
    ]
    for file in mine:
        file.write_text("mine")
    assert build(tmp_path) == [Path("grafana/penstock-overview.json")]
    assert check(tmp_path) == []
    assert build(tmp_path) == []
    assert [file.read_text() for file in mine] == ["mine"] * 4
