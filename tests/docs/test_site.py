"""The site of the manual has every page, and the lists of pages and commands are whole."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest
import yaml

from penstock.cli.main import commands
from tests.support.blocks import PAGES, ROOT, name


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


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")), ids=lambda page: page.stem)
def test_each_decision_stands_in_their_list(page: Any) -> None:
    title = re.match(r"# (\d+)\. (.+)\n", page.read_text(encoding="utf-8"))
    assert title is not None
    assert int(title[1]) == int(page.name[:4])
    row = f"| [{title[1]}]({page.name}) | {title[2]} |"
    assert row in (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8"), f"add {row}"


def test_the_page_of_the_command_line_has_every_command_and_no_other() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `penstock ([a-z-]+)` \|", page, re.MULTILINE)
    assert told == commands.list_commands(click.Context(commands))
