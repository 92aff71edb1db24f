from __future__ import annotations

from engine.backpressure.markers import Look
from engine.backpressure.sampling import Sampling
from engine.backpressure.tracker import Failure, Measurement
from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.snapshot import SamplingProgress
from tests.support.subjects import PlayedSubject, sampler_of


class Measured:
    """A sampling of ten samples, 100 ns apart, until it ends."""

    def __init__(self, *subjects: PlayedSubject) -> None:
        self.clock = ManualClock()
        self.results: list[Measurement | Failure] = []
        self.sampling = Sampling(
            "parse",
            dict(enumerate(subjects)),
            samples=10,
            delay_ns=100,
            started_ns=0,
            ended=self.results.append,
        )
        self._sampler = sampler_of(self.clock, *self.sampling.books.values())

    def go_on(self, ticks: int) -> None:
        for _ in range(ticks):
            self.clock.advance_ns(100)
            self.sampling.ticked(self._sampler.look())

    @property
    def is_done(self) -> bool:
        return self.sampling.is_done(self.clock.monotonic_ns())

    @property
    def result(self) -> Measurement | Failure:
        self.sampling.end(self.clock.monotonic_ns(), self.clock.wall_ns())
        (result,) = self.results
        return result


def test_it_is_done_when_every_sample_is_taken() -> None:
    measured = Measured(PlayedSubject(Look.HELD_BACK), PlayedSubject(Look.NEITHER))
    measured.go_on(9)
    assert not measured.is_done
    assert measured.sampling.progress == SamplingProgress(taken=9, of=10)
    measured.go_on(1)
    assert measured.is_done
    result = measured.result
    assert isinstance(result, Measurement)
    assert result.problem is None
    assert {number: reading.ratio for number, reading in result.subtasks.items()} == {0: 1.0, 1: 0.0}
    assert {reading.samples for reading in result.subtasks.values()} == {10}
    assert result.ended_wall_ns == measured.clock.wall_ns()


def test_a_subtask_that_does_not_run_leaves_the_others_and_a_reason() -> None:
    finished = PlayedSubject()
    finished.over = True
    measured = Measured(PlayedSubject(Look.HELD_BACK), finished)
    measured.go_on(10)
    result = measured.result
    assert isinstance(result, Measurement)
    assert list(result.subtasks) == [0]
    assert result.problem == "subtask 1 was not running"


def test_a_subtask_that_ends_meanwhile_counts_with_the_samples_it_has() -> None:
    subject = PlayedSubject(Look.HELD_BACK)
    measured = Measured(subject, PlayedSubject())
    measured.go_on(4)
    subject.over = True
    measured.go_on(6)
    result = measured.result
    assert isinstance(result, Measurement)
    assert (result.subtasks[0].samples, result.subtasks[0].ratio) == (4, 1.0)
    assert result.problem == "subtask 0 ended after 4 of 10 samples"


def test_when_all_have_ended_it_does_not_wait_for_the_rest() -> None:
    subject = PlayedSubject(Look.HELD_BACK)
    measured = Measured(subject)
    measured.go_on(1)
    subject.over = True
    assert measured.is_done
    assert isinstance(measured.result, Measurement)


def test_when_none_runs_it_fails_at_once_and_says_so() -> None:
    subject = PlayedSubject()
    subject.over = True
    measured = Measured(subject)
    assert measured.is_done
    assert measured.result == Failure(text="task parse is not running and cannot be sampled")


def test_a_sampler_that_gets_no_turn_ends_it_with_what_there_is() -> None:
    measured = Measured(PlayedSubject(Look.HELD_BACK))
    measured.go_on(3)
    measured.clock.advance_ns(15 * NS_PER_SECOND)
    assert not Measured(PlayedSubject()).is_done
    assert not measured.is_done
    measured.clock.advance_ns(1000)
    assert measured.is_done
    result = measured.result
    assert isinstance(result, Measurement)
    assert result.problem == "subtask 0 got 3 of 10 samples in time"
