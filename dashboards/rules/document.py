"""A file of rules as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import yaml

from dashboards.places import Places
from dashboards.rules.rule import Alert, Group, RecordingRule

_HEAD = "# Written by `penstock dashboards build`; change dashboards/rules, not this file.\n"
_LINE_LENGTH = 120


def written(groups: Sequence[Group], places: Places) -> str:
    """The text of the file. The same groups give the same text."""
    document = {"groups": [_group(group, places) for group in groups]}
    return _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_LINE_LENGTH)


def _group(group: Group, places: Places) -> dict[str, object]:
    interval = {"interval": group.interval} if group.interval else {}
    return {"name": group.name, **interval, "rules": [_rule(rule, places) for rule in group.rules]}


def _rule(rule: RecordingRule | Alert, places: Places) -> dict[str, object]:
    if isinstance(rule, RecordingRule):
        return {"record": rule.name, "expr": rule.expression.text}
    return {
        "alert": rule.name,
        "expr": rule.expression.text,
        "for": rule.for_,
        "keep_firing_for": rule.keep_firing_for,
        "labels": {"severity": rule.severity.value},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{places.runbooks}/{rule.name}.md",
            "dashboard_url": _dashboard_url(rule, places),
        },
    }


def _dashboard_url(alert: Alert, places: Places) -> str:
    chosen = "&".join(_chosen(alert.drill_down))
    return f"{places.grafana}/d/{alert.board}" + (f"?{chosen}" if chosen else "")


def _chosen(labels: Iterable[str]) -> list[str]:
    return [f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in labels]
