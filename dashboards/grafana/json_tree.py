"""Plain JSON: the values of which documents are made, and how nulls are taken out of them."""

from __future__ import annotations

from typing import TypeAlias

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def without_nulls(tree: Json) -> Json:
    """The same without the keys whose value is null: for Grafana a null is an answer, an absent key its default.

    The first step of thresholds keeps its null, which says that it begins at the very bottom.
    """
    match tree:
        case dict():
            return {
                key: _steps(value) if key == "steps" else without_nulls(value)
                for key, value in tree.items()
                if value is not None
            }
        case list():
            return [without_nulls(item) for item in tree]
        case _:
            return tree


def _steps(steps: Json) -> Json:
    if not isinstance(steps, list):
        return without_nulls(steps)
    return [dict(step) if isinstance(step, dict) else step for step in steps]
