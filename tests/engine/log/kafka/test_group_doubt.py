"""A member of the group whose whole process stood still does not know what it has until it has asked again."""

from __future__ import annotations

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaConnection
from engine.log.kafka.group import Group
from engine.log.kafka.topics import Topics

SESSION = 10 * NS_PER_SECOND


def group(clock: ManualClock) -> Group:
    return Group(
        Cluster(KafkaConnection(bootstrap_servers="nowhere:1")),
        Topics("p"),
        lambda: (),
        instance=None,
        session_ns=SESSION,
        protocol="classic",
        clock=clock,
    )


def test_who_was_stopped_for_half_a_session_doubts_what_it_has_until_it_had_the_time_to_hear() -> None:
    clock = ManualClock()
    one = group(clock)
    clock.advance_ns(SESSION // 2)
    assert not one.is_in_doubt
    clock.advance_ns(1)
    assert one.is_in_doubt, "whoever looks before it asks"
    one._ask_anew()
    assert one.is_in_doubt, "the answer is on its way"
    clock.advance_ns(NS_PER_SECOND)
    assert not one.is_in_doubt


def test_who_asks_in_time_doubts_nothing() -> None:
    clock = ManualClock()
    one = group(clock)
    for _ in range(20):
        clock.advance_ns(SESSION // 4)
        assert not one.is_in_doubt
        one._ask_anew()
