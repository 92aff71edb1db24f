"""When a worker that died is started again."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND
from engine.workers.restarts import DEATHS_MAX, FIRST_DELAY_NS, LONGEST_DELAY_NS, WITHIN_NS, Restarts


def test_the_wait_doubles_with_every_death_up_to_ten_seconds() -> None:
    restarts = Restarts()
    # Far enough apart never to be given up.
    delays = [restarts.died(n * WITHIN_NS, got_something_done=False) for n in range(8)]
    assert delays == [min(FIRST_DELAY_NS << n, LONGEST_DELAY_NS) for n in range(8)]
    assert delays[0] == NS_PER_SECOND // 2
    assert delays[-1] == 10 * NS_PER_SECOND


def test_five_deaths_within_a_minute_with_nothing_done_are_the_end() -> None:
    restarts = Restarts()
    apart_ns = WITHIN_NS // (DEATHS_MAX - 1)
    delays = [restarts.died(n * apart_ns, got_something_done=False) for n in range(DEATHS_MAX)]
    assert None not in delays[:-1]
    assert delays[-1] is None


def test_a_death_too_late_for_the_minute_is_not() -> None:
    restarts = Restarts()
    apart_ns = WITHIN_NS // (DEATHS_MAX - 1) + 1
    assert all(restarts.died(n * apart_ns, got_something_done=False) for n in range(20))


def test_a_life_that_got_something_done_begins_the_count_anew() -> None:
    restarts = Restarts()
    for n in range(DEATHS_MAX - 1):
        assert restarts.died(n, got_something_done=False)
    assert restarts.died(DEATHS_MAX, got_something_done=True) == FIRST_DELAY_NS
    assert restarts.died(DEATHS_MAX + 1, got_something_done=False) == 2 * FIRST_DELAY_NS
