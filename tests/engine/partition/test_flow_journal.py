"""What is said of a throttle in the log, for who is on call."""

from __future__ import annotations

import logging

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.flow.episodes import Episode
from engine.flow.events import LimitChanged, ThrottlingEnded, ThrottlingStarted
from engine.partition.flow_journal import FlowJournal

WHY = "backlog 3382 of 3000 acceptable records: 150.1 records/s exported, times 0.887"


@pytest.mark.parametrize(
    ("limit", "shown"), [(133.1129, "133"), (12345.6, "12346"), (10.0, "10"), (9.96, "10"), (0.5, "0.5"), (3.0, "3")]
)
def test_a_throttle_is_three_kinds_of_lines_in_whole_records_and_names_the_backlog_once(
    limit: float, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="penstock.partition")
    journal = FlowJournal(1, lambda intent, value: None)
    journal.report(
        ThrottlingStarted(
            partition=1,
            wall_ns=0,
            limit_per_second=limit,
            limit_max_per_second=100_000,
            backlog_records=3382,
            reason=WHY,
        )
    )
    journal.report(
        LimitChanged(
            partition=1,
            wall_ns=0,
            old_limit_per_second=limit,
            new_limit_per_second=281.65,
            backlog_records=2382,
            acceptable_backlog_records=3000,
            factor=None,
            exporting_rate_per_second=None,
            reason=WHY,
        )
    )
    ended = Episode(
        partition=1,
        start_wall_ns=0,
        end_wall_ns=10 * NS_PER_SECOND,
        lowest_limit_per_second=limit,
        peak_backlog_records=3382,
        reason=WHY,
        throttled_ns=10 * NS_PER_SECOND,
    )
    journal.report(ThrottlingEnded(partition=1, wall_ns=0, episode=ended, reason=""))
    first, *_, last = caplog.messages
    assert first == f"partition 1 is throttled: limit {shown} of 100000 records/s, {WHY}"
    assert caplog.messages[1:-1] == ["partition 1: limit 282 records/s, backlog 2382"]
    assert last == (
        f"partition 1 is no longer throttled after 10s: lowest limit {shown} records/s, highest backlog 3382"
    )
