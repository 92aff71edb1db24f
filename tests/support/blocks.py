"""The pages of the manual, and the blocks of code that stand in them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    ROOT / "examples" / "flights" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCE = re.compile(r"^( *)(`{3,})(\S*)$")
_INDENTED = re.compile(r"^(?: {4}|\t)\S")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s")


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    # Of the line in front of it.
    line: int
    # Empty where none is said.
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_fenced(self) -> bool:
        return self.language != "indented"


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    number, is_behind_blank, is_in_list = 0, True, False
    while number < len(lines):
        line = lines[number]
        if opening := _FENCE.match(line):
            end = next(i for i in range(number + 1, len(lines)) if lines[i].strip() == opening[2])
            text = textwrap.dedent("\n".join(lines[number + 1 : end])) + "\n"
            yield Block(name(page), number + 1, opening[3], text)
            number = end
        elif is_behind_blank and not is_in_list and _INDENTED.match(line):
            yield Block(name(page), number + 1, "indented", line + "\n")
        if line.strip():
            is_in_list = bool(_ITEM.match(line)) or (is_in_list and line.startswith(" "))
        is_behind_blank = not line.strip()
        number += 1


def without_blocks(page: Path) -> str:
    """The page's prose: blank lines stand where blocks were, so that the lines keep their numbers."""
    kept, closing = [], None
    for line in page.read_text(encoding="utf-8").splitlines():
        opening = _FENCE.match(line)
        if closing is None and opening:
            closing = opening[2]
        elif closing is not None:
            closing = None if line.strip() == closing else closing
        else:
            kept.append(line)
            continue
        kept.append("")
    return "\n".join(kept)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]
