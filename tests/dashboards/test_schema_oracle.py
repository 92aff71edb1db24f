"""Grafana's own schema library reads every board and knows every key in it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    # It would rather have the shape of Grafana 13, which Grafana 12 does not read.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.dashboards.generated import DASHBOARDS


def lost(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Paths of what the library did not take over, or took over changed."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key not in theirs:
                yield f"{path}.{key}"
            else:
                yield from lost(value, theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: {ours!r} became {theirs!r}"


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_nothing_is_lost_when_grafanas_schema_reads_a_board(dashboard: dict[str, Any]) -> None:
    read = Dashboard.from_json(json.loads(json.dumps(dashboard)))
    again = json.loads(json.dumps(read, cls=JSONEncoder, sort_keys=True))
    assert sorted(set(lost(dashboard, again))) == []
