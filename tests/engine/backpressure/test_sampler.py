"""Deadlines lie at 50, 150, 250, …"""

from __future__ import annotations

from engine.backpressure.markers import Look
from engine.backpressure.sampler import SampleBook
from engine.backpressure.window import Counts
from engine.core.clock import ManualClock
from engine.core.snapshot import BlockReason, SampleBasis
from engine.tasks.transitions import RING_LENGTH
from tests.support.subjects import PlayedSubject, sampler_of


def counts(*, busy: int = 0, idle: int = 0, blocked: int = 0) -> Counts:
    return Counts(busy=busy, idle=idle, blocked=blocked)


def test_a_look_before_the_deadline_takes_no_sample() -> None:
    clock = ManualClock()
    book = SampleBook(PlayedSubject(Look.HELD_BACK), 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(49)
    assert sampler.look() == 0
    assert book.window.counts() == counts()


def test_on_time_the_stack_decides() -> None:
    clock = ManualClock()
    subject = PlayedSubject(Look.HELD_BACK, own=[(0, BlockReason.BUFFER)])
    book = SampleBook(subject, 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(50)
    assert sampler.look() == 1
    assert book.window.counts() == counts(blocked=1)
    assert book.basis() == SampleBasis(by_stack=1)
    assert sampler.lateness_ns == 0


def test_a_late_look_is_judged_by_the_state_at_the_deadline() -> None:
    """The task worked at 50 and blocked at 53; the sampler got its turn at 57 because of that."""
    clock = ManualClock()
    subject = PlayedSubject(Look.HELD_BACK, own=[(0, "busy"), (53, BlockReason.BUFFER)])
    book = SampleBook(subject, 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(57)
    sampler.look()
    assert book.window.counts() == counts(busy=1)
    assert book.basis() == SampleBasis(by_transitions=1)
    assert sampler.lateness_ns == sampler.lateness_max_ns == 7


def test_a_late_look_at_a_task_that_did_not_change_since_is_decided_by_the_stack() -> None:
    clock = ManualClock()
    subject = PlayedSubject(Look.HELD_BACK, own=[(0, "busy"), (49, BlockReason.BUFFER)])
    book = SampleBook(subject, 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(90)
    sampler.look()
    assert book.basis() == SampleBasis(by_stack=1)
    assert book.window.counts() == counts(blocked=1)


def test_every_deadline_that_was_slept_through_is_judged_by_itself() -> None:
    clock = ManualClock()
    subject = PlayedSubject(Look.NEITHER, own=[(0, "busy"), (100, BlockReason.WRITE_LIMIT), (200, "idle")])
    book = SampleBook(subject, 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(260)
    assert sampler.look() == 3
    assert book.window.counts() == counts(busy=1, blocked=1, idle=1)
    assert book.basis() == SampleBasis(by_transitions=2, by_stack=1)


def test_a_deadline_older_than_what_the_task_remembers_is_discarded_and_counted() -> None:
    clock = ManualClock()
    subject = PlayedSubject(Look.NEITHER, own=[(60 + n, "busy" if n % 2 else "idle") for n in range(RING_LENGTH)])
    book = SampleBook(subject, 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(60 + RING_LENGTH)
    sampler.look()
    assert book.window.counts() == counts()
    assert book.basis() == SampleBasis(discarded=1)


def test_a_deadline_before_a_task_began_is_no_sample() -> None:
    clock = ManualClock()
    book = SampleBook(PlayedSubject(Look.NEITHER, own=[(60, "busy")]), 10)
    nothing = SampleBook(PlayedSubject(Look.NEITHER, own=[]), 10)
    sampler = sampler_of(clock, book, nothing)
    clock.advance_ns(80)
    sampler.look()
    assert book.basis() == nothing.basis() == SampleBasis()


def test_stack_and_timer_that_say_different_things_of_one_moment_are_counted() -> None:
    clock = ManualClock()
    missing = PlayedSubject(Look.NEITHER, own=[(0, BlockReason.BUFFER)])
    surplus = PlayedSubject(Look.HELD_BACK, own=[(0, "busy")])
    agreeing = PlayedSubject(Look.HELD_BACK, own=[(0, BlockReason.REQUEST_LIMIT)])
    books = [SampleBook(subject, 10) for subject in (missing, surplus, agreeing)]
    sampler = sampler_of(clock, *books)
    clock.advance_ns(50)
    sampler.look()
    assert [book.basis().disagreements for book in books] == [1, 1, 0]
    assert [book.window.counts().blocked for book in books] == [0, 1, 1], "the stack decides"


def test_a_foreign_thread_gives_one_sample_a_look_however_late_it_is() -> None:
    clock = ManualClock()
    book = SampleBook(PlayedSubject(Look.HELD_BACK), 10)
    sampler = sampler_of(clock, book)
    clock.advance_ns(460)
    assert sampler.look() == 5
    assert book.window.counts() == counts(blocked=1)
    assert sampler.lateness_max_ns == 410, "its lateness is published instead"


def test_a_task_that_does_not_run_gives_no_sample() -> None:
    clock = ManualClock()
    subject = PlayedSubject(Look.HELD_BACK)
    book = SampleBook(subject, 10)
    sampler = sampler_of(clock, book)
    for _ in range(3):
        clock.advance_ns(100)
        sampler.look()
    subject.over = True
    for _ in range(3):
        clock.advance_ns(100)
        sampler.look()
    assert book.window.counts() == counts(blocked=3)


def test_without_books_there_is_no_deadline_and_no_look() -> None:
    clock = ManualClock()
    book = SampleBook(PlayedSubject(), 10)
    sampler = sampler_of(clock, book)
    sampler.remove([book])
    assert sampler.next_ns is None
    clock.advance_ns(1000)
    assert sampler.look() == 0
    sampler.add([book])
    assert sampler.next_ns == 1050, "a new schedule begins"


def test_a_standstill_longer_than_the_deadlines_a_look_may_serve_is_counted_as_missed() -> None:
    clock = ManualClock()
    sampler = sampler_of(clock, SampleBook(PlayedSubject(own=[(0, "busy")]), 10))
    clock.advance_ns(100 * 1000)
    assert sampler.look() + sampler.missed == 1000
    assert sampler.missed > 900
