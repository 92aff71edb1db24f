"""The site of the manual has every page, and the lists of pages and commands are whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from penstock.cli.main import commands
from tests.support.blocks import PAGES, ROOT, name, without_blocks

DECISIONS = ROOT / "docs" / "decisions"


class _Loader(yaml.SafeLoader):
    """Reads `mkdocs.yml` without MkDocs."""


_Loader.add_multi_constructor("!!python/", lambda loader, suffix, node: suffix)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def leaves(found: Any) -> list[str]:
    match found:
        case dict():
            return [leaf for value in found.values() for leaf in leaves(value)]
        case list():
            return [leaf for value in found for leaf in leaves(value)]
        case _:
            return [str(found)]


def test_each_page_but_runbooks_decisions_and_benchmarks_stands_in_the_contents_of_the_site() -> None:
    contents = leaves(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)["nav"])
    assert len(contents) == len({*contents})
    # Of these their lists.
    listed = ("docs/runbooks/", "docs/decisions/", "docs/benchmarks/")
    wanted = {name(page) for page in PAGES if not name(page).startswith(listed) or page.name == "README.md"}
    assert wanted == {*contents}


def decisions() -> str:
    """The list of decisions, as their titles say."""
    rows = []
    for page in sorted(DECISIONS.glob("[0-9]*.md")):
        title = re.match(r"# (\d+)\. (.+)\n", page.read_text(encoding="utf-8"))
        assert title is not None, f"{page.name} begins with '# NUMBER. TITLE'"
        assert int(title[1]) == int(page.name[:4]), page.name
        rows.append(f"| [{title[1]}]({page.name}) | {title[2]} |\n")
    heading = (
        "# Decisions\n\nWhat was decided and why, a page each: context, choice, price. Numbers have gaps. "
        "What is superseded says so.\n\n| | |\n|---|---|\n"
    )
    return heading + "".join(rows)


def broken(text: str) -> list[int]:
    """Lines that are meant to be rows of a table and have no heading, or items and are none behind a line of prose."""
    found, before = [], ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        begins_table = line.startswith("|") and not before.startswith("|")
        if begins_table and not re.match(r"\|[ :|-]+\|$", "".join(lines[number : number + 1])):
            found.append(number)
        if re.match(r"- |\d+\. ", line) and before.strip() and not re.match(r" |- |\d+\. ", before):
            found.append(number)
        before = line
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_looks_like_a_table_or_a_list_is_one_on_the_site_too(page: Path) -> None:
    assert not broken(without_blocks(page))


def test_a_row_without_a_heading_and_an_item_behind_prose_are_found() -> None:
    assert broken("| a |\n|---|\n| b |\n\n| c |\n") == [5]
    assert broken("callers see status\n507. All goes on\n") == [2]
    assert broken("These are:\n- one\n- two\n") == [2]
    assert broken("1. one\n2. two\n   and more\n3. three\n") == []


def test_each_decision_stands_in_their_list() -> None:
    assert (DECISIONS / "README.md").read_text(encoding="utf-8") == decisions(), "make generate"


def test_the_page_of_the_command_line_has_every_command_and_no_other() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `penstock ([a-z-]+)` \|", page, re.MULTILINE)
    assert told == commands.list_commands(click.Context(commands))


if __name__ == "__main__":
    (DECISIONS / "README.md").write_text(decisions(), encoding="utf-8")
