"""What a late look at a thread says of the moment when it was due."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from engine.backpressure.hindsight import Hindsight, OwnWaits, Schedule, times_of
from engine.backpressure.markers import Look
from engine.backpressure.sampler import SampleBook
from engine.backpressure.settings import BackPressureSettings
from engine.backpressure.vertices import of_books
from engine.backpressure.window import Verdict
from engine.core.clock import NS_PER_MS
from tests.support.duty_cycle import computing, running
from tests.support.subjects import PlayedSubject
from tests.support.waiting import wait_until

BLOCKED, BUSY, IDLE = Verdict.BLOCKED, Verdict.BUSY, Verdict.IDLE


@dataclass
class Clocks:
    """CPU time of the thread and of all of them."""

    thread_ns: int = 0
    others_ns: int = 0
    hindsight: Hindsight = field(init=False)

    def __post_init__(self) -> None:
        self.hindsight = Hindsight(lambda: (self.thread_ns, 0), process_ns=lambda: self.thread_ns + self.others_ns)
        self.hindsight.verdict(IDLE, 0)

    def verdict(self, seen: Verdict, waited_ms: float, computed_ms: float, others_ms: float = 0) -> Verdict | None:
        self.thread_ns += round(computed_ms * NS_PER_MS)
        self.others_ns += round(others_ms * NS_PER_MS)
        return self.hindsight.verdict(seen, round(waited_ms * NS_PER_MS))


def test_a_look_in_time_says_what_it_sees() -> None:
    assert Clocks().verdict(BLOCKED, waited_ms=0.2, computed_ms=15, others_ms=20) is BLOCKED


def test_a_thread_that_stood_still_has_been_doing_the_same_all_the_time() -> None:
    assert Clocks().verdict(BLOCKED, waited_ms=5, computed_ms=0.02, others_ms=20) is BLOCKED
    assert Clocks().verdict(IDLE, waited_ms=5, computed_ms=0, others_ms=20) is IDLE


def test_a_thread_that_alone_computed_held_the_interpreter_while_the_look_was_late() -> None:
    assert Clocks().verdict(BLOCKED, waited_ms=4, computed_ms=9, others_ms=0.3) is BUSY


def test_where_others_computed_too_nobody_can_tell() -> None:
    assert Clocks().verdict(BLOCKED, waited_ms=4, computed_ms=9, others_ms=9) is None


def test_without_a_clock_a_late_look_says_nothing_unless_it_waits_for_the_same_thing_as_before() -> None:
    waits_for = [object()]
    hindsight = Hindsight(mark=lambda: waits_for[0])
    assert hindsight.verdict(BLOCKED, 0) is BLOCKED
    assert hindsight.verdict(BLOCKED, 5 * NS_PER_MS) is BLOCKED
    waits_for[0] = object()
    assert hindsight.verdict(BLOCKED, 5 * NS_PER_MS) is None
    assert Hindsight().verdict(BLOCKED, 5 * NS_PER_MS) is None


def test_waiting_for_a_core_is_no_waiting_for_the_interpreter() -> None:
    waits = OwnWaits()
    waits._schedule = Played([(0, 0), (0, 3 * NS_PER_MS), (0, 3 * NS_PER_MS)])
    waits.waited_ns(0)
    assert waits.waited_ns(4 * NS_PER_MS) == NS_PER_MS
    assert waits.waited_ns(4 * NS_PER_MS) == 4 * NS_PER_MS


class Played(Schedule):
    """Says what it is told."""

    def __init__(self, told: list[tuple[int, int]]) -> None:
        self._file = None
        self._told = iter(told)

    def read(self) -> tuple[int, int]:
        return next(self._told)


def book_of(on_core: float, in_front: float) -> SampleBook:
    """A thread that its samples saw held back three times of four, and what the system's clocks say of it."""
    at_ns = [0]
    subject = PlayedSubject(Look.HELD_BACK)
    subject.hindsight = Hindsight(lambda: (round(at_ns[0] * on_core), round(at_ns[0] * in_front)))
    book = SampleBook(subject, 100)
    for n in range(100):
        at_ns[0] = 10 * n * NS_PER_MS
        subject.shown = Look.NEITHER if n % 4 == 0 else Look.HELD_BACK
        book.take({}, [at_ns[0]], at_ns[0], 0)
    return book


@pytest.mark.parametrize(
    ("on_core", "in_front", "ratio"), [(0.1, 0.1, 0.75), (0.5, 0.0, 0.5), (0.5, 0.08, 0.46), (0.25, 0.0, 0.75)]
)
def test_a_thread_on_a_core_did_not_wait_however_often_it_was_seen_so(
    on_core: float, in_front: float, ratio: float
) -> None:
    book = book_of(on_core, in_front)
    seen = book.reading(None)
    assert seen is not None
    assert seen.ratio == pytest.approx(ratio)
    assert seen.busy_ratio == pytest.approx(1 - ratio)
    assert book.unsure is None


def test_a_thread_that_waited_long_for_a_core_is_unknown_with_the_reason() -> None:
    book = book_of(0.5, 0.3)
    assert book.unsure is not None
    assert "waited too long for a core" in book.unsure
    assert of_books("v", {0: book}, sampled_wall_ns=1).level is None


def test_a_ratio_of_which_too_many_samples_are_lost_is_unknown_with_the_reason_and_has_no_level() -> None:
    subject = PlayedSubject()
    subject.hindsight = Hindsight()
    book = SampleBook(subject, 20)
    for n in range(20):
        book.take({}, [n], n, 0)
    assert book.unsure is None
    assert of_books("v", {0: book}, sampled_wall_ns=1).level == "ok"
    book.take({}, [21], 21, 5 * NS_PER_MS)
    assert book.unsure is None, "one in twenty cannot make it wrong by more"
    book.take({}, [22], 22, 5 * NS_PER_MS)
    seen = of_books("v", {0: book}, sampled_wall_ns=1)
    assert (seen.level, seen.subtasks) == (None, {})
    assert seen.problem is not None
    assert seen.problem.startswith("2 of the last 20 samples came too late")
    assert book.basis().discarded == 2


@pytest.mark.parametrize("share", [0.35, 0.65])
def test_a_thread_that_computes_is_seen_as_it_is_or_not_at_all(share: float) -> None:
    settings = BackPressureSettings(num_samples=400, delay_between_samples_ns=10 * NS_PER_MS)
    with running([share], computing, settings=settings, cycle_ns=20 * NS_PER_MS, also_foreign=True) as outcomes:
        (found,) = outcomes()
    if found.foreign is not None:
        # Three standard deviations of 400 independent looks.
        assert abs(found.foreign - found.truth) < 0.08, found


def test_the_times_of_a_thread_that_has_ended_are_unknown_and_no_error() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    times = times_of(thread)
    assert times() is not None
    go.set()
    thread.join()
    assert wait_until(lambda: times() is None)
    assert Hindsight(times).verdict(BUSY, 0) is BUSY
