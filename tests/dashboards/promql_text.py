"""Reads names, labels and windows out of PromQL, as far as boards and rules use it; it shares no code with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

KEYWORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
_LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?P<labels>\{[^{}]*\})?(?P<window>\[[^\]]*\])?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
RATES = ("rate", "irate", "increase")
# What else may be asked of a counter: how often it was scraped, and what it was at another time, to compare it with.
OF_COUNTERS = (*RATES, "count_over_time", "last_over_time")
# What Prometheus itself says, of targets and of alerts.
OF_PROMETHEUS = ("up", "ALERTS")


@dataclass(frozen=True, slots=True)
class Matcher:
    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A metric as an expression names it."""

    name: str
    matchers: tuple[Matcher, ...]
    window: str | None
    # The function whose first argument it is, if it is.
    function: str | None
    # Whether it is asked for as it is at another time.
    shifted: bool = False

    def matches(self, label: str, operator: str, value: str) -> bool:
        return Matcher(label, operator, value) in self.matchers


def selectors(expression: str) -> Iterator[Seen]:
    """Every metric in the expression, with what surrounds it."""
    plain = _LABEL_LISTS.sub(" ", expression)
    # Strings outside of braces are arguments; those inside are read with their selector.
    position = 0
    while position < len(plain):
        if plain[position] == '"':
            string = _STRING.match(plain, position)
            assert string is not None, expression
            position = string.end()
            continue
        found = _SELECTOR.match(plain, position)
        if found is None or (position and re.match(r"[\w$.]", plain[position - 1])):
            position += 1
            continue
        position = found.end()
        name = found["name"]
        if name in KEYWORDS or plain[position:].lstrip().startswith("("):
            continue
        before = re.search(r"([a-z_0-9]+)\($", plain[: found.start()])
        matchers = tuple(Matcher(*match) for match in _MATCHER.findall(found["labels"] or ""))
        window = found["window"][1:-1] if found["window"] else None
        shifted = plain[position:].startswith(" offset ")
        yield Seen(name, matchers, window, before[1] if before else None, shifted)


def label_lists(expression: str) -> set[str]:
    """The labels by which it groups or joins."""
    return {
        label.strip() for inside in _LABEL_LISTS.findall(expression) for label in inside.split(",") if label.strip()
    }
