"""The choices at the top of a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafanalib import core

from dashboards.grafana import fields
from dashboards.promql import TARGET_LABELS, VARIABLE_LABELS
from exporter.catalogue import metric

# A pattern that demands a value, so that a series without the label is not taken for all of them.
ALL_PATTERN = ".+"
# Asked again whenever the range changes: what ran yesterday may be gone today.
ON_TIME_RANGE_CHANGE = 2


@dataclass(frozen=True, slots=True)
class _Choice:
    """A variable: the label whose values it offers, and the metric on which they are always found."""

    label: str
    title: str
    found_on: str


_CHOICES = (
    _Choice("job", "Job", "penstock_build_info"),
    _Choice("instance", "Instance", "penstock_build_info"),
    _Choice("pipeline", "Pipeline", "penstock_build_info"),
    _Choice("partition", "Partition", "penstock_last_written_position"),
    _Choice("task", "Task", "penstock_task_info"),
    _Choice("exporter", "Exporter", "penstock_exporter_state"),
)


class Variable:
    """A variable of grafanalib, with the `All` and the null values put right."""

    def __init__(self, template: Any, json: dict[str, object]) -> None:
        self._template = template
        self._json = json

    def to_json_data(self) -> dict[str, object]:
        made: dict[str, object] = {**self._template.to_json_data(), **self._json}
        # Dead since Grafana 7, or of another kind of variable.
        for key in ("useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count"):
            made.pop(key, None)
        return made


def names(expressions: list[str]) -> list[str]:
    """What the variables of a board with these expressions are called."""
    return [fields.DATASOURCE_VARIABLE, *(choice.label for choice in _used(expressions))]


def variables(expressions: list[str], bridge: str | None = None) -> list[Variable]:
    """The data source, and those choices that the expressions use; each is narrowed down by those before it.

    With `bridge`, only pipelines that are seen through this kind of one.
    """
    return [_datasource(), *(_query(choice, bridge) for choice in _used(expressions))]


def _used(expressions: list[str]) -> list[_Choice]:
    return [choice for choice in _CHOICES if any(f"${choice.label}" in text for text in expressions)]


def _datasource() -> Variable:
    template = core.Template(
        name=fields.DATASOURCE_VARIABLE, label="Data source", type="datasource", query="prometheus", hide=0
    )
    # Without a current value Grafana takes its default data source, or the first of the kind.
    return Variable(template, {"current": None, "options": [], "regex": "", "sort": None, "skipUrlSync": False})


def _query(choice: _Choice, bridge: str | None) -> Variable:
    before = VARIABLE_LABELS[: VARIABLE_LABELS.index(choice.label)]
    # Task and exporter do not narrow one another down, nor does a partition narrow down the tasks.
    narrowing = [name for name in before if name in (*TARGET_LABELS, "pipeline")]
    found_on = metric(choice.found_on).name
    matchers = ", ".join(f'{name}=~"${name}"' for name in narrowing)
    is_bridged = bridge is not None and choice.label in (*TARGET_LABELS, "pipeline")
    if is_bridged:
        found_on = metric("penstock_bridged_info").name
        matchers = ", ".join((*([matchers] if matchers else []), f'bridge="{bridge}"'))
    query = (
        f"label_values({found_on}{{{matchers}}}, {choice.label})"
        if matchers
        else (f"label_values({found_on}, {choice.label})")
    )
    template = core.Template(
        name=choice.label,
        label=choice.title,
        query=query,
        dataSource=fields.datasource(),
        multi=True,
        includeAll=True,
        # Without a pattern, all are those that are offered, and not whatever has a value.
        allValue=None if is_bridged and choice.label == "pipeline" else ALL_PATTERN,
        refresh=ON_TIME_RANGE_CHANGE,
        hide=0,
    )
    return Variable(
        template,
        {
            "query": {"query": query, "refId": f"{choice.label}-values", "qryType": 1},
            "definition": query,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "regex": "",
            # By number where it is one: partition 10 comes after 9.
            "sort": 3 if choice.label == "partition" else 1,
            "skipUrlSync": False,
        },
    )
