"""What users import is under `penstock`, and a file of theirs that hides a package of ours is named."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "flow-control").glob("*.md")])
_BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
OURS = ("penstock", "engine", "exporter", "dashboards")


def imports(page: Path) -> list[tuple[str, str]]:
    """Modules and names that the page's blocks of Python import from us."""
    found = []
    for _, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
                found += [(node.module, alias.name) for alias in node.names]
            elif isinstance(node, ast.Import):
                found += [(a.name, "") for a in node.names if a.name.split(".")[0] in OURS]
    return found


def test_all_that_pages_tell_users_to_import_is_under_penstock_and_there() -> None:
    told = [(page.name, module, name) for page in PAGES for module, name in imports(page)]
    assert len(told) > 10, "the blocks are found"
    for page, module, name in told:
        assert module.split(".")[0] == "penstock", f"{page} imports {module}"
        loaded = importlib.import_module(module)
        assert not name or name in loaded.__all__, f"{page}: {module} does not offer {name}"


@pytest.mark.parametrize("name", ["engine", "exporter", "dashboards"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_file_that_hides_a_package_is_named_in_one_sentence(tmp_path: Path, name: str, as_folder: bool) -> None:
    hiding = tmp_path / name / "__init__.py" if as_folder else tmp_path / f"{name}.py"
    hiding.parent.mkdir(exist_ok=True)
    hiding.write_text("")
    (tmp_path / "main.py").write_text("import penstock\n")
    ran = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    said = ran.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {hiding} hides Penstock's package {name!r} in {ROOT / name}; rename the file")


def test_one_that_was_imported_before_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("SPEED = 1\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import engine; import penstock"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"{tmp_path / 'engine.py'} hides Penstock's package 'engine'" in ran.stderr


def test_a_folder_of_data_with_such_a_name_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "notes.txt").write_text("")
    (tmp_path / "main.py").write_text(
        "from penstock import Pipeline; import penstock.metrics, penstock.otlp; print('fine')\n"
    )
    ran = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "fine\n", ran.stderr
