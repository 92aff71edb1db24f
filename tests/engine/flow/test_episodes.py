"""Throttling episodes."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND
from engine.flow.episodes import EpisodeLog


def test_an_episode_keeps_its_lowest_limit_with_its_reason_and_its_highest_backlog() -> None:
    log = EpisodeLog(3)
    log.begin(limit_per_second=500, backlog_records=100, reason="first", now_ns=10, wall_ns=1000)
    log.observe(limit_per_second=300, backlog_records=90, reason="lowest")
    log.observe(limit_per_second=300, backlog_records=91, reason="as low")
    log.observe(limit_per_second=400, backlog_records=120, reason="higher again")
    (running,) = log.episodes(now_ns=25)
    assert (running.partition, running.start_wall_ns, running.end_wall_ns) == (3, 1000, None)
    assert (running.lowest_limit_per_second, running.peak_backlog_records) == (300, 120)
    assert running.reason == "lowest"
    assert running.throttled_ns == 15
    ended = log.end(now_ns=30, wall_ns=900)
    assert (ended.end_wall_ns, ended.throttled_ns) == (900, 20)
    assert log.episodes(now_ns=99) == (ended,)


def test_only_the_last_episodes_are_kept_and_the_time_of_all() -> None:
    log = EpisodeLog(1, kept=3)
    for start in range(10):
        log.begin(limit_per_second=1, backlog_records=1, reason="", now_ns=2 * start * NS_PER_SECOND, wall_ns=start)
        log.end(now_ns=(2 * start + 1) * NS_PER_SECOND, wall_ns=start + 1)
    assert [episode.start_wall_ns for episode in log.episodes(0)] == [7, 8, 9]
    assert log.throttled_ns(0) == 10 * NS_PER_SECOND
