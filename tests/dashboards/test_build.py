"""The generated files are what the code says, the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards.build import GENERATED, build, check, main

ROOT = Path(__file__).parents[2]


def test_the_committed_files_are_in_sync_with_the_code() -> None:
    assert check() == []


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_the_files_do_not_depend_on_the_process_that_writes_them(seed: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "dashboards", "build", str(tmp_path)],
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
    (tmp_path / "grafana/penstock-overview.json").write_text("{}")
    (tmp_path / "grafana/old.json").write_text("{}")
    (tmp_path / "prometheus/penstock.alerts.yml").unlink()
    assert check(tmp_path) == [
        "grafana/old.json does not belong to the bundle",
        "grafana/penstock-overview.json is not what the code says",
        "prometheus/penstock.alerts.yml is missing",
    ]


def test_building_mends_every_difference_and_touches_nothing_else(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "grafana/penstock-overview.json").write_text("{}")
    (tmp_path / "grafana/old.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    assert build(tmp_path) == [Path("grafana/old.json"), Path("grafana/penstock-overview.json")]
    assert check(tmp_path) == []
    assert build(tmp_path) == []
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_command_says_whether_the_files_are_in_sync(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert "is missing" in capsys.readouterr().err
    assert main(["build", str(tmp_path)]) == 0
    assert main(["check", str(tmp_path)]) == 0


def test_addresses_in_alerts_can_be_those_of_the_site(tmp_path: Path) -> None:
    addresses = ["--grafana-url", "https://grafana.example/", "--runbooks-url", "https://wiki.example/runbooks"]
    assert main(["build", str(tmp_path), *addresses]) == 0
    text = (tmp_path / "prometheus/penstock.alerts.yml").read_text()
    assert "https://grafana.example/d/penstock-overview" in text
    assert "https://wiki.example/runbooks/PenstockDown.md" in text
    assert "127.0.0.1" not in text
