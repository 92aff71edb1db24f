"""The boards can be written in the names of another system."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.boards import BOARDS, flow_control
from dashboards.grafana import dashboard
from dashboards.vocabulary import PENSTOCK, Vocabulary
from tests.dashboards import promql_text
from tests.dashboards.generated import DASHBOARDS, opened

# A part of what Zeebe's brokers call the same things.
ZEEBE = Vocabulary(
    metrics={
        "penstock_throttled": "zeebe_throttled",
        "penstock_build_info": "atomix_role",
        "penstock_writes_total": "zeebe_flow_control_total",
        "penstock_write_rate_limit_records_per_second": "zeebe_flow_control_write_rate_limit",
        "penstock_write_rate_limit_max_records_per_second": "zeebe_flow_control_write_rate_maximum",
        "penstock_command_duration_seconds": "zeebe_stream_processor_latency_seconds",
        "penstock_last_written_position": "zeebe_log_appender_last_committed_position",
    },
    labels={"source": "context", "pipeline": "cluster"},
)


@pytest.mark.parametrize("board", BOARDS, ids=[board.uid for board in BOARDS])
def test_in_our_own_names_nothing_changes(board: Any) -> None:
    assert dashboard(board, PENSTOCK) == DASHBOARDS[board.uid]


def test_metrics_and_labels_are_called_by_their_other_names() -> None:
    ours = 'sum by (pipeline, source) (rate(penstock_writes_total{pipeline=~"$pipeline", source="internal"}[5m]))'
    assert ZEEBE.expression(ours) == (
        'sum by (cluster, context) (rate(zeebe_flow_control_total{cluster=~"$pipeline", context="internal"}[5m]))'
    )


def test_a_histogram_keeps_what_follows_its_name() -> None:
    assert ZEEBE.expression("rate(penstock_command_duration_seconds_bucket[5m])") == (
        "rate(zeebe_stream_processor_latency_seconds_bucket[5m])"
    )


def test_legends_and_links_name_the_other_labels() -> None:
    assert ZEEBE.legend("{{pipeline}}/{{partition}} limit") == "{{cluster}}/{{partition}} limit"
    assert ZEEBE.link("/d/x?var-pipeline=${__field.labels.pipeline}") == "/d/x?var-pipeline=${__field.labels.cluster}"


def test_a_board_shows_what_the_other_system_knows_and_nothing_else() -> None:
    drawn: Any = dashboard(flow_control.BOARD, ZEEBE)
    titles = [panel["title"] for panel in opened(drawn)]
    assert "Accepted writes by source" in titles
    assert "Write rate limits" in titles
    assert "Exporting backlog" not in titles
    named = {
        seen.name
        for panel in opened(drawn)
        for target in panel.get("targets", [])
        for seen in promql_text.selectors(target["expr"])
    }
    assert ZEEBE.metrics is not None
    assert {name.removesuffix("_bucket") for name in named} <= set(ZEEBE.metrics.values())
