"""Turns what a check found into one line that names the place, the rule and the value."""

from __future__ import annotations

import difflib
import typing
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from penstock.settings.entries import Entries, Mistake, Path, Place
from penstock.settings.secrets import WHAT_STANDS_THERE, may_be_secret
from penstock.settings.sections import BrokenRule
from penstock.settings.spelling import all_paths, keys_of, section_for, variable

# The rule in our words, for pydantic's kinds of errors; the rest is said by our own validators.
_RULES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of less than 4300 digits",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a section of keys",
    "model_type": "must be a section of keys",
    "model_attributes_type": "must be a section of keys",
}
_RULES_WITHOUT_VALUE = {
    "missing": "is missing",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
_BOUNDS = {
    "greater_than": ("must be greater than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than_equal": ("must be at most", "le"),
}
_SHOWN_MAX = 60


def mistake_of(error: ValidationError, entries: Entries, file: str) -> Mistake:
    """The first mistake in the order of the file, and how many more there are."""
    found = []
    for details in error.errors():
        path = tuple(details["loc"])
        place = _place(entries, path, file)
        # A key that is missing may be the one that was misspelled: what is there is said first.
        order = (place.lines[-1:], details["type"] == "missing")
        found.append((order, Mistake(place, _said(details, path, place))))
    _, first = min(found, key=lambda pair: pair[0])
    if len(found) > 1:
        first.args = (f"{first.args[0]} (and {len(found) - 1} more)",)
    return first


def mistake_of_rule(error: BrokenRule, entries: Entries, file: str) -> Mistake:
    """The mistake of a value that breaks a rule of the engine."""
    return Mistake(
        _place(entries, error.path, file), f"{error.error.rule}, not {_shown(error.path, error.error.value)}"
    )


def _place(entries: Entries, path: Path, file: str) -> Place:
    return entries.place(path) or Place(file, path, (1,) * len(path))


def _said(details: ErrorDetails, path: Path, place: Place) -> str:
    """What stands behind the key: the rule and, where it helps, the value."""
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        return _unknown(path, place)
    rule = _rule(details, path)
    # Of a whole section or of nothing there is no value to show.
    if kind in _RULES_WITHOUT_VALUE or (kind == "value_error" and isinstance(value, dict | list)):
        return rule
    return rule if rule.startswith(":") else f"{rule}, not {_shown(path, value)}"


def _rule(details: ErrorDetails, path: Path) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        rule = str(context["error"])
        # Some rules repeat the value.
        if str(details["input"]) in rule and may_be_secret(path, details["input"]):
            return f"cannot be {WHAT_STANDS_THERE}"
        return rule if rule.startswith("must") else f": {rule}"
    if kind == "literal_error":
        return f"must be one of {', '.join(map(str, typing.get_args(section_for(path))))}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{words} {context[bound]}"
    if kind == "string_type":
        return "must be text" if isinstance(details["input"], dict | list) else "must be text (in quotes)"
    return _RULES.get(kind) or _RULES_WITHOUT_VALUE.get(kind) or f": {details['msg']}"


def _unknown(path: Path, place: Place) -> str:
    section = section_for(path[:-1])
    known = keys_of(section)
    written = str(path[-1])
    nearest = difflib.get_close_matches(written.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    meant: tuple[Any, ...] | None = None
    if nearest:
        meant = (*path[:-1], next(k for k in known if k.lower() == nearest[0]))
    else:
        # Right word, wrong section.
        meant = next((p for p in all_paths() if p[-1].lower() == written.lower()), None)
    if place.file is None:
        hint = f"did you mean {variable(meant)}?" if meant else f"known here are {', '.join(known)}"
        return f"is no known variable; {hint}"
    hint = f"did you mean {_dotted(meant)}?" if meant else f"known here are {', '.join(known)}"
    return f"is no known key; {hint}"


def _dotted(path: tuple[Any, ...]) -> str:
    return Place(None, path).name


def _shown(path: Path, value: object) -> str:
    if may_be_secret(path, value) and not isinstance(value, dict | list | bool | None):
        return WHAT_STANDS_THERE
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = " ".join(text.split()) or "nothing"
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
