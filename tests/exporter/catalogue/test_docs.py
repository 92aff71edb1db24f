"""docs/metrics.md is what the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.catalogue import metrics
from exporter.catalogue.docs import document, main

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == document()


def test_the_page_names_every_metric_with_its_help() -> None:
    page = document()
    for one in metrics():
        assert f"| `{one.name}` |" in page
        assert one.help in page


def test_check_tells_a_page_that_is_out_of_date_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "metrics.md"
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    page.write_text("old")
    assert main(["--check", str(page)]) == 1
    assert page.read_text() == "old"
    assert "exporter.catalogue.docs" in capsys.readouterr().err
