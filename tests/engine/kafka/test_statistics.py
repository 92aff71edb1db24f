"""What a client tells of its brokers, read: numbers of each, only of those that are there."""

from __future__ import annotations

import json

from engine.core.snapshot import BrokerSnapshot
from engine.kafka.statistics import brokers_in


def told(**brokers: object) -> str:
    return json.dumps({"name": "penstock#producer-1", "type": "producer", "brokers": brokers, "topics": {}})


def broker(nodeid: int, rtt: tuple[int, int], throttle: tuple[int, int] = (0, 0), state: str = "UP") -> object:
    """Means with counts: microseconds, milliseconds."""
    return {
        "nodeid": nodeid,
        "state": state,
        "tx": 7,
        "rtt": {"min": 1, "avg": rtt[0], "cnt": rtt[1]},
        "throttle": {"avg": throttle[0], "cnt": throttle[1]},
    }


def test_a_broker_is_told_of_in_seconds() -> None:
    assert brokers_in(told(a=broker(1, (4_000, 3), (250, 3)))) == {
        1: BrokerSnapshot(rtt_seconds=0.004, throttle_seconds=0.25)
    }


def test_one_that_occurs_twice_is_one_whose_means_are_weighed() -> None:
    seen = brokers_in(told(a=broker(1, (1_000, 1)), coordinator=broker(1, (3_000, 3))))
    assert seen == {1: BrokerSnapshot(rtt_seconds=0.0025, throttle_seconds=0.0)}


def test_nothing_is_said_of_one_that_was_asked_for_nothing() -> None:
    assert brokers_in(told(a=broker(2, (0, 0)))) == {2: BrokerSnapshot(rtt_seconds=None, throttle_seconds=None)}


def test_addresses_and_brokers_that_are_away_are_left_out() -> None:
    assert brokers_in(told(bootstrap=broker(-1, (9, 9)), gone=broker(3, (9, 9), state="DOWN"))) == {}


def test_a_document_of_a_client_without_brokers_says_nothing() -> None:
    assert brokers_in("{}") == {}
