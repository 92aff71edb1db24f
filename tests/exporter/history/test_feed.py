"""Events reach every watcher in order; a slow one is dropped, one that was cut off goes on where it stood."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.history import CLIENTS_MAX, Feed, TooManyClientsError
from exporter.history.feed import REPLAY_BYTES_MAX, REPLAY_EVENTS_MAX, WAITING_EVENTS_MAX


def nothing() -> None:
    return


def names(feed: Feed, after: str | None) -> list[str]:
    """What a client that comes back gets at once."""
    subscription = feed.subscribe(nothing, after=after)
    feed.unsubscribe(subscription)
    return [event.name for event in subscription.take()]


def test_a_watcher_gets_what_happens_from_then_on_in_order() -> None:
    feed, woken = Feed(number=1), []
    feed.publish("before", b"{}")
    subscription = feed.subscribe(lambda: woken.append(1))
    assert subscription.take() == []
    for name in "abc":
        feed.publish(name, b"{}")
    assert [event.name for event in subscription.take()] == ["a", "b", "c"]
    assert len(woken) == 3
    assert subscription.take() == []


def test_a_watcher_that_comes_back_gets_what_it_missed_and_nothing_twice() -> None:
    feed = Feed(number=1)
    ids = []
    for name in "abc":
        feed.publish(name, b"{}")
        ids.append(feed.newest_id)
    assert [names(feed, after) for after in ids] == [["b", "c"], ["c"], []]


def test_the_id_of_an_empty_feed_gives_all_that_follows() -> None:
    feed = Feed(number=1)
    first = feed.newest_id
    feed.publish("a", b"{}")
    assert names(feed, first) == ["a"]


@pytest.mark.parametrize(
    "after", ["", "1", "2-0", "1-99", "1--1", "1-x", "1- 0", "1-0_0", "1-" + "9" * 30, "-", "1-0-0", "١-٠"]
)
def test_an_id_that_is_not_of_this_feed_is_a_reset(after: str) -> None:
    feed = Feed(number=1)
    feed.publish("a", b"{}")
    assert names(feed, after) == ["reset"]


def test_what_is_older_than_the_replay_is_a_reset() -> None:
    feed = Feed(number=1)
    feed.publish("a", b"{}")
    first = feed.newest_id
    for _ in range(REPLAY_EVENTS_MAX):
        feed.publish("b", b"{}")
    assert names(feed, first) == ["b"] * REPLAY_EVENTS_MAX
    feed.publish("b", b"{}")
    assert names(feed, first) == ["reset"]


def test_the_replay_is_bounded_in_bytes_too() -> None:
    feed = Feed(number=1)
    first = feed.newest_id
    for _ in range(3):
        feed.publish("large", b"x" * (REPLAY_BYTES_MAX // 2))
    assert names(feed, first) == ["reset"]
    assert names(feed, "1-1") == ["large", "large"]


def test_a_slow_watcher_is_dropped_and_the_others_get_everything() -> None:
    feed = Feed(number=1)
    slow, quick, got = feed.subscribe(nothing), feed.subscribe(nothing), 0
    for _ in range(WAITING_EVENTS_MAX + 1):
        feed.publish("a", b"{}")
        got += len(quick.take())
    assert got == WAITING_EVENTS_MAX + 1
    assert (slow.is_over, quick.is_over, feed.dropped) == (True, False, 1)
    assert slow.take() == [], "what it could not take is let go"
    for _ in range(CLIENTS_MAX - 1):
        feed.subscribe(nothing)


def test_the_seventeenth_watcher_is_refused_until_one_leaves() -> None:
    feed = Feed(number=1)
    subscriptions = [feed.subscribe(nothing) for _ in range(CLIENTS_MAX)]
    with pytest.raises(TooManyClientsError):
        feed.subscribe(nothing)
    feed.unsubscribe(subscriptions[3])
    feed.unsubscribe(subscriptions[3])
    feed.subscribe(nothing)
    with pytest.raises(TooManyClientsError):
        feed.subscribe(nothing)


def test_a_closed_feed_ends_every_stream_also_those_to_come() -> None:
    feed, woken = Feed(number=1), []
    subscription = feed.subscribe(lambda: woken.append(1))
    feed.publish("a", b"{}")
    feed.close()
    assert subscription.is_over
    assert [event.name for event in subscription.take()] == ["a"]
    assert woken == [1, 1]
    assert feed.subscribe(nothing).is_over


@settings(deadline=None)
@given(
    before=st.integers(0, 2 * REPLAY_EVENTS_MAX),
    missed=st.integers(0, 2 * REPLAY_EVENTS_MAX),
    after=st.integers(0, 20),
)
def test_over_any_gap_every_event_is_told_once_or_the_gap_is_said(before: int, missed: int, after: int) -> None:
    feed = Feed(number=7)
    for n in range(before):
        feed.publish(str(n), b"{}")
    seen = feed.newest_id
    for n in range(missed):
        feed.publish(str(n), b"{}")
    subscription = feed.subscribe(nothing, after=seen)
    for n in range(after):
        feed.publish(str(missed + n), b"{}")
    told = [event.name for event in subscription.take()]
    gap = missed > REPLAY_EVENTS_MAX
    assert told == (["reset"] if gap else list(map(str, range(missed)))) + [str(missed + n) for n in range(after)]
