"""Who is told of every processed batch, where somebody wants to know: a tracer, mostly.

The engine knows nothing of what an observer makes of it. Nobody observes unless `Pipeline.observe` was called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from engine.core.records import WriteSource

# Names with values that lead to what an observer keeps of a batch, such as the identifiers of a span.
Mark = tuple[tuple[str, str], ...]


class BatchOutcome(StrEnum):
    """What became of a batch."""

    PROCESSED = "processed"
    # It was processed, and some of its commands were rejected.
    REJECTED = "rejected"
    # It stopped the run; nothing of it is stored.
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedBatch:
    """Commands that a processor took in one go, whose results, state and progress are one unit of the log.

    Invariant: `started_ns + worked_ns <= ended_ns`; what lies between is the wait for permits and for the commit.
    """

    task: str
    partition: int
    # Everything from the first to the last position is done; what is no command in between was passed over.
    first_position: int
    last_position: int
    commands: int
    rejected: int
    # Records and messages that it wrote.
    written: int
    # In which contexts the commands were written, each once.
    triggers: tuple[WriteSource, ...]
    outcome: BatchOutcome
    # Monotonic; the end is known in wall time too.
    started_ns: int
    ended_ns: int
    ended_wall_ns: int
    # Part of the time that the processor's own code took.
    worked_ns: int
    # The class and the text of what stopped the run; None unless it failed.
    error: tuple[str, str] | None = None

    @property
    def started_wall_ns(self) -> int:
        return self.ended_wall_ns - (self.ended_ns - self.started_ns)


class BatchObserver(Protocol):
    """Is told of batches by the processing tasks' own threads; the engine ends it when its tasks have ended.

    One that raises from `processed` is logged, and not told again by that task.
    """

    def processed(self, batch: ProcessedBatch) -> Mark | None:
        """Takes note of a batch at once, without waiting for anything; any thread.

        A mark is kept as an exemplar beside the durations of this batch; None keeps none.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """What became of the notes, since the start, by outcome; every known outcome is there. Any thread."""
        ...

    def close(self) -> None:
        """The last batch has been told. May take a moment, and may be repeated."""
        ...


# Makes an observer from the name of the pipeline, once in each process that runs tasks of it.
ObserverFactory = Callable[[str], BatchObserver]
