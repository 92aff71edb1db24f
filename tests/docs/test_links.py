"""Every link of the manual leads to something that is there: a page, a heading of it, a file, a picture."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.blocks import PAGES, ROOT, name, without_blocks

_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()]*\))?[^()\s]*)\)")
_CODE = re.compile(r"`[^`\n]+`")


def links(page: Path) -> list[tuple[int, str]]:
    """The line and the target of each, pictures included."""
    found = []
    for number, line in enumerate(without_blocks(page).splitlines(), 1):
        # A word in backticks may be the text of a link, and no link stands within one.
        found += [(number, link[1]) for link in _LINK.finditer(_CODE.sub("code", line))]
    return found


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub makes them: lower case, without signs, hyphens for blanks; a number behind the second of a name."""
    found: dict[str, int] = {}
    for line in without_blocks(page).splitlines():
        if not (heading := re.match(r"^#{1,6} (.*)$", line)):
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1].strip())
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return frozenset(
        slug if number == 0 else f"{slug}-{number}" for slug, last in found.items() for number in range(last + 1)
    )


def wrong(page: Path, target: str) -> str | None:
    """Why the link leads nowhere."""
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.is_relative_to(ROOT):
        return "leads out of the repository"
    if not there.exists():
        return "is not there"
    if anchor and there.suffix == ".md" and anchor not in anchors(there):
        return f"has no heading {anchor!r}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_something(page: Path) -> None:
    inside = [(line, target) for line, target in links(page) if not re.match(r"https?://|mailto:", target)]
    found = [f"{name(page)}:{line}: {target} {why}" for line, target in inside if (why := wrong(page, target))]
    assert not found


def test_links_are_found_and_a_wrong_one_is_wrong() -> None:
    assert sum(len(links(page)) for page in PAGES) > 150
    page = ROOT / "README.md"
    assert wrong(page, "docs/no-such-page.md") == "is not there"
    assert wrong(page, "docs/gateway.md#no-such-heading") == "has no heading 'no-such-heading'"
    assert wrong(page, "../elsewhere") == "leads out of the repository"


def test_every_page_of_the_manual_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for _, target in links(page):
            there = (page.parent / target.partition("#")[0]).resolve()
            # A folder is its pages.
            pages = sorted(there.glob("*.md")) if there.is_dir() else [there]
            waiting += [one for one in pages if one.suffix == ".md" and one.is_file() and one.is_relative_to(ROOT)]
    assert not {name(page) for page in PAGES} - {name(page) for page in reached}
