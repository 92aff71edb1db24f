"""`penstock new` makes what runs at once, and overwrites nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.core.errors import ConfigurationError
from penstock.cli.main import commands

ROOT = Path(__file__).parents[3]


def made(folder: Path, name: str = "orders_2") -> Path:
    done = CliRunner().invoke(commands, ["new", name, "--folder", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    assert f"penstock run {name}.yaml" in done.output
    return folder


def in_there(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PENSTOCK_MANAGEMENT_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_made_is_checked_and_run_at_once_and_its_test_passes(tmp_path: Path) -> None:
    folder = made(tmp_path / "mine")
    checked = in_there(folder, "penstock", "check", "orders_2.yaml")
    assert checked.returncode == 0, checked.stderr
    ran = in_there(folder, "penstock", "run", "orders_2.yaml")
    assert ran.returncode == 0, ran.stderr
    sums = {}
    for file in sorted((folder / "out").glob("sums-*.ndjson")):
        for line in file.read_text().splitlines():
            value = json.loads(line)["value"]
            sums[value["customer"]] = value["total"]
    # The one with a negative amount is rejected.
    assert sums == {"anna": 22, "bob": 19, "carla": 30, "cleo": 1}
    tested = in_there(folder, "pytest", "-q", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("a")
    with pytest.raises(ConfigurationError, match="mine is not empty; choose another name"):
        CliRunner().invoke(
            commands, ["new", "x", "--folder", str(tmp_path / "mine")], catch_exceptions=False, standalone_mode=False
        )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis"]


@pytest.mark.parametrize("name", ["Orders", "2nd", "my-orders", "", "a" * 33, "../x", "a b"])
def test_a_name_that_is_no_modules_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the name of a pipeline and its module"):
        CliRunner().invoke(
            commands, ["new", name, "--folder", str(tmp_path / "f")], catch_exceptions=False, standalone_mode=False
        )
    assert not (tmp_path / "f").exists()
