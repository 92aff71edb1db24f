"""`docs/first-pipeline.md` from its beginning to its end, as a stranger goes through it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.blocks import BLOCKS
from tests.support.programs import program
from tests.support.targets.postgres_server import postgres_server

PAGE = [block for block in BLOCKS if block.page == "docs/first-pipeline.md"]


def block(language: str, beginning: str) -> str:
    (found,) = (one.text for one in PAGE if one.language == language and one.text.startswith(beginning))
    return found


def shell(folder: Path, commands: str, **environment: str) -> str:
    """As on the page, without what is installed already."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    lines = [line for line in commands.splitlines() if not line.startswith(("python3 -m venv", "pip install"))]
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -e", *lines])],
        cwd=folder,
        env={
            **kept,
            "PATH": path,
            "PENSTOCK_MANAGEMENT_PORT": "0",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_stranger_gets_from_nothing_to_sums_in_postgresql(tmp_path: Path) -> None:
    program("postgres")
    assert "2 passed" in shell(tmp_path, block("sh", "python3 -m venv"))
    there = tmp_path / "orders"
    (there / "sales.csv").write_text(block("text", "day;customer"))
    (there / "orders.py").write_text(block("python", "from decimal"))
    (there / "test_orders.py").write_text(block("python", "import pytest"))
    (there / "orders.yaml").write_text(block("yaml", "pipeline:"))
    with postgres_server() as server:
        url = {"PENSTOCK_PIPELINE_EXPORTERS_SUMS_POSTGRES_URL": server.url}
        said = shell(there, block("sh", "pytest -q"), **url)
        assert "3 passed" in said
        assert "orders: 5 read, 4 processed, 4 exported, 1 rejected (parse 1)" in said
        assert server.query(block("sql", "SELECT").rstrip().rstrip(";")) == [
            ("Carla, Ltd.", 9900), ("anna", 1990), ("bob", 310),
        ]  # fmt: skip
    said = shell(there, block("sh", "penstock rejects"))
    assert "parse  1, since" in said
    assert "a lot" in said


def test_the_container_runs_what_was_run_before(tmp_path: Path) -> None:
    image = block("dockerfile", "FROM penstock")
    names = {one for line in image.splitlines() if line.startswith("COPY") for one in line.split()[1:-1]}
    assert names == {"orders.yaml", "orders.py", "sales.csv"}
    variables = [word for line in image.splitlines() if line.startswith("ENV") for word in line.split()[1:]]
    (tmp_path / "orders.py").write_text(block("python", "from decimal"))
    (tmp_path / "sales.csv").write_text(block("text", "day;customer"))
    (tmp_path / "orders.yaml").write_text(block("yaml", "pipeline:"))
    said = shell(tmp_path, f"unset PENSTOCK_MANAGEMENT_PORT\nexport {' '.join(variables)}\npenstock check orders.yaml")
    assert "management     http://0.0.0.0:9600" in said
    assert "data           /data (" in said


@pytest.mark.parametrize("name", ["orders.yaml", "orders.py", "test_orders.py", "sales.csv", "Dockerfile"])
def test_each_file_is_named_before_it_is_shown(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "first-pipeline.md").read_text(encoding="utf-8")
    assert f"`{name}`" in text
