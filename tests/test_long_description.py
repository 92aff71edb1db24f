"""What an index shows of the package stands for itself: whoever reads it there has no repository beside it."""

from __future__ import annotations

import re
from importlib.metadata import metadata


def test_the_long_description_shows_no_picture_and_leads_to_no_file_of_the_repository() -> None:
    told = metadata("penstock")
    assert told["Description-Content-Type"] == "text/markdown"
    text = told["Description"]
    assert text.startswith("# Penstock\n")
    assert "pip install penstock\npenstock demo\n" in text
    assert "![" not in text
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []
    # Each part is there: where the README gets other headings, the build fails or leaves something out.
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "See it",
        "Configuration",
        "In a program",
        "Metrics",
        "Dashboards",
    ]
