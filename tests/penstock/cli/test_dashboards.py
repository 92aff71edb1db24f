"""`penstock dashboards` writes what it then finds in order."""

from pathlib import Path

import pytest

from penstock.cli.ending import ended
from penstock.cli.main import commands


def call(*arguments: str) -> int:
    return ended(lambda: commands.main([*arguments], prog_name="penstock", standalone_mode=False))


def test_what_was_built_is_in_order_until_somebody_changes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("dashboards", "build", str(tmp_path)) == 0
    assert call("dashboards", "check", str(tmp_path)) == 0
    written = next(tmp_path.rglob("*.json"))
    written.write_text("{}")
    capsys.readouterr()
    assert call("dashboards", "check", str(tmp_path)) == 1
    captured = capsys.readouterr()
    assert written.name in captured.out
    assert captured.err.startswith(f"penstock: {tmp_path} is out of date (1 of ")
    assert captured.err.endswith(" files); run penstock dashboards build\n")
