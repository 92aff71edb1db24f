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
    assert captured.err.endswith(f" files); run penstock dashboards build {tmp_path}\n")


def test_addresses_in_alerts_can_be_those_of_the_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    addresses = ["--grafana-url", "https://grafana.example/", "--runbooks-url", "https://wiki.example/runbooks"]
    assert call("dashboards", "build", str(tmp_path), *addresses) == 0
    text = (tmp_path / "prometheus/penstock.alerts.yml").read_text()
    assert "https://grafana.example/d/penstock-overview" in text
    assert "https://wiki.example/runbooks/PenstockDown.md" in text
    assert "127.0.0.1" not in text
    assert call("dashboards", "check", str(tmp_path), *addresses) == 0
    capsys.readouterr()
    assert call("dashboards", "check", str(tmp_path)) == 1, "they are others than it would write by itself"
    (tmp_path / "prometheus/penstock.alerts.yml").unlink()
    assert call("dashboards", "check", str(tmp_path), *addresses) == 1
    assert capsys.readouterr().err.endswith(f"run penstock dashboards build {tmp_path} {' '.join(addresses)}\n")
