"""Pages of the documentation, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def tables(text: str, heading: str) -> list[list[list[str]]]:
    """The cells of each table whose first line begins with `heading`, without that line and the rule below it."""
    found = re.findall(rf"^\| {re.escape(heading)}[^\n]*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()] for rows in found]


def commands(text: str, prefix: str) -> list[tuple[str, str]]:
    """The commands of the `console` blocks that begin with `prefix`, and what the page says that each answers."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for command, answer in re.findall(r"^\$ (.*?)\n(.*?)(?=^\$ |\Z)", block, re.MULTILINE | re.DOTALL):
            if command.startswith(prefix):
                found.append((command, answer.strip()))
    return found
