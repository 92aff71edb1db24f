"""The life that all bridges share: when they look, what they tell of it, and how they end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from threading import Event

import pytest

from engine.core.clock import NS_PER_SECOND, Clock, ManualClock
from engine.core.snapshot import EngineSnapshot, EngineState, Origin
from penstock.bridges.asking import LookError
from penstock.bridges.bridge import Bridge
from tests.support.waiting import wait_until

log = logging.getLogger("penstock.test")
DOWN = LookError("unreachable", "http://example cannot be asked: connection refused")


class Looker(Bridge):
    """Looks as a test says: `_look` calls it, and what it returns is shown as the failure's text."""

    def __init__(self, ask: Callable[[], str], clock: Clock | None = None, *, interval_seconds: float = 10.0) -> None:
        origin = Origin(bridge="flink", id="", version="")
        interval_ns = round(interval_seconds * NS_PER_SECOND)
        super().__init__("other", origin, interval_ns=interval_ns, clock=clock, log=log)
        self.ask = ask
        self.ended = 0
        self.cut = Event()

    @property
    def shown(self) -> str:
        return "http://example"

    def _look(self) -> str:
        return self.ask()

    def _filled(self, bare: EngineSnapshot) -> EngineSnapshot:
        return replace(bare, info={"seen": "all"})

    def _interrupt(self) -> None:
        self.cut.set()

    def _ended(self) -> None:
        self.ended += 1


def fails(error: Exception) -> Callable[[], str]:
    def ask() -> str:
        raise error

    return ask


def errors(bridge: Bridge) -> dict[str, int]:
    told = bridge.snapshot().bridge
    assert told is not None
    return {reason: count for reason, count in told.errors.items() if count}


def test_before_the_first_look_nothing_is_known_and_after_it_what_was_found() -> None:
    bridge = Looker(lambda: "it")
    assert (bridge.snapshot().state, bridge.snapshot().info) == (EngineState.STARTING, {})
    assert bridge.look()
    assert (bridge.snapshot().state, bridge.snapshot().info) == (EngineState.RUNNING, {"seen": "all"})


def test_of_a_look_that_fails_nothing_is_shown_but_why() -> None:
    bridge = Looker(lambda: "it", ManualClock())
    bridge.look()
    bridge.ask = fails(DOWN)
    assert not bridge.look()
    told = bridge.snapshot()
    assert (told.state, told.failure, told.info) == (EngineState.FAILED, str(DOWN), {})
    assert told.bridge is not None
    assert (told.bridge.is_up, told.bridge.looks, errors(bridge)) == (False, 2, {"unreachable": 1})
    # When it was last well is known all the same.
    assert told.bridge.succeeded_wall_ns is not None


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours"), RecursionError()])
def test_a_fault_of_our_own_is_a_look_that_failed_and_the_next_one_is_another_try(error: Exception) -> None:
    bridge = Looker(fails(error))
    assert not bridge.look()
    assert bridge.snapshot().failure == f"http://example could not be read: {type(error).__name__}"
    assert errors(bridge) == {"malformed": 1}
    bridge.ask = lambda: "it"
    assert bridge.look()


def test_what_is_gone_at_the_top_is_a_wrong_address() -> None:
    bridge = Looker(fails(LookError("gone", "there is nothing at http://example/config")))
    bridge.look()
    assert errors(bridge) == {"status": 1}


def test_a_repeated_failure_is_said_once_in_ten_seconds_with_the_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    bridge = Looker(fails(DOWN), clock)
    with caplog.at_level(logging.INFO, logger="penstock.test"):
        for _ in range(12):
            bridge.look()
            clock.advance(1)
        bridge.ask = lambda: "a Flink with 3 jobs"
        bridge.look()
        bridge.look()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert said[0] == f"{DOWN}; nothing is shown of it"
    assert said[1].startswith(f"{DOWN}; nothing is shown of it")
    assert "9" in said[1] or "10" in said[1]
    assert said[2] == "http://example answers: a Flink with 3 jobs"


def test_who_is_slow_to_answer_is_asked_at_most_half_of_the_time() -> None:
    bridge = Looker(lambda: "it")
    assert bridge._pause_ns(2 * NS_PER_SECOND) == 8 * NS_PER_SECOND
    assert bridge._pause_ns(30 * NS_PER_SECOND) == 30 * NS_PER_SECOND


def test_it_looks_until_it_is_stopped_and_lets_go_once() -> None:
    with Looker(lambda: "it", interval_seconds=0.001) as bridge:
        assert wait_until(lambda: (told := bridge.snapshot().bridge) is not None and told.looks >= 3)
    assert bridge.ended == 1
    bridge.stop()
    assert bridge.ended == 1
    assert bridge._thread is not None
    assert not bridge._thread.is_alive()


def test_a_look_that_is_cut_by_the_end_is_no_failure() -> None:
    bridge = Looker(lambda: "it")
    asked = Event()

    def hangs() -> str:
        asked.set()
        assert bridge.cut.wait(20)
        raise DOWN

    bridge.ask = hangs
    bridge.start()
    assert asked.wait(20)
    bridge.stop()
    assert bridge.snapshot().state is EngineState.STARTING
    assert errors(bridge) == {}
