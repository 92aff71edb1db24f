"""One measurement of a vertex while it is under way: so many samples of each of its subtasks."""

from __future__ import annotations

from collections.abc import Mapping

from engine.backpressure.sampler import SampleBook
from engine.backpressure.subjects import Subject
from engine.backpressure.tracker import Ended, Failure, Measurement
from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import SamplingProgress

# What a measurement may take longer than its samples need. Source: Flink's sample coordinator.
_GRACE_NS = 15 * NS_PER_SECOND


class Sampling:
    """Counts ticks until every running subtask of the vertex has its samples.

    Where the model discards everything because one subtask does not run, the others count here, and the result says
    what is missing. One caller at a time: the monitor holds the lock.
    """

    def __init__(
        self,
        task: str,
        subjects: Mapping[int, Subject],
        *,
        samples: int,
        delay_ns: int,
        started_ns: int,
        ended: Ended,
    ) -> None:
        self._task = task
        self._samples = samples
        self._deadline_ns = started_ns + samples * delay_ns + _GRACE_NS
        self._ended = ended
        self._ticks = 0
        self._absent = sorted(number for number, subject in subjects.items() if subject.is_over)
        self.books = {
            number: SampleBook(subject, samples) for number, subject in subjects.items() if not subject.is_over
        }

    @property
    def progress(self) -> SamplingProgress:
        return SamplingProgress(taken=min(self._ticks, self._samples), of=self._samples)

    def ticked(self, ticks: int) -> None:
        self._ticks += ticks

    def is_done(self, now_ns: int) -> bool:
        return (
            self._ticks >= self._samples
            or now_ns >= self._deadline_ns
            or all(book.subject.is_over for book in self.books.values())
        )

    def end(self, now_ns: int, wall_ns: int) -> None:
        """Hands over what was seen."""
        subtasks = {
            number: reading
            for number, book in self.books.items()
            if (reading := book.window.counts().reading(wall_ns)) is not None
        }
        if not subtasks:
            self._ended(Failure(text=f"task {self._task} is not running and cannot be sampled"))
            return
        self._ended(
            Measurement(subtasks=subtasks, ended_ns=now_ns, ended_wall_ns=wall_ns, problem=self._problem(now_ns))
        )

    def _problem(self, now_ns: int) -> str | None:
        missing = [f"subtask {number} was not running" for number in self._absent]
        late = self._ticks < self._samples and now_ns >= self._deadline_ns
        for number, book in self.books.items():
            taken = book.window.counts().samples
            if book.subject.is_over:
                missing.append(f"subtask {number} ended after {taken} of {self._samples} samples")
            elif late:
                missing.append(f"subtask {number} got {taken} of {self._samples} samples in time")
        return "; ".join(missing) or None
