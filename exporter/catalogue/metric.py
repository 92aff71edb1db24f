"""What a metric is: its name, what it means, who bounds its labels, and how it is read off a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from engine.core.snapshot import HistogramSnapshot

# Label values in the order of `Metric.labels`, and the value. A number is exposed as a 64-bit float.
Value = int | float | HistogramSnapshot
Sample = tuple[tuple[str, ...], Value]
Seen_contra = TypeVar("Seen_contra", contravariant=True)


class Kind(StrEnum):
    """What the numbers of a metric mean."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    # One series that is always 1 and carries facts as labels.
    INFO = "info"
    # A 0/1 series for each value of its last label, of which at most one is 1. Exposed as gauges:
    # the stateset of OpenMetrics would force the label to bear the metric's name.
    STATE_SET = "state set"


class Unit(StrEnum):
    """What a metric counts or measures in; base units only."""

    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"
    RECORDS = "records"
    RECORDS_PER_SECOND = "records_per_second"
    REQUESTS = "requests"
    BUFFERS = "buffers"
    WRITERS = "writers"
    SAMPLES = "samples"
    SERIES = "series"
    ERRORS = "errors"
    TRANSACTIONS = "transactions"
    POSITION = "position"
    NONE = ""


class Stability(StrEnum):
    """What a user may build on a metric."""

    # Name, labels and meaning change only in a major version.
    STABLE = "stable"
    EXPERIMENTAL = "experimental"


class Combine(StrEnum):
    """How the values of the same series from several worker processes become one."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    # All are the same, or the newest is the truth.
    LAST = "last"
    # The labels name a partition or a subtask, which lives in one process only.
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label and who bounds its values; `values` where the set is closed."""

    name: str
    bound: str
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Generic[Seen_contra]):
    """One metric family, and how to read it off a snapshot.

    `read` is pure and callable from any thread. It leaves out what is unknown; it never yields the same
    labels twice. Invariant: the first label is the pipeline.
    """

    name: str
    kind: Kind
    unit: Unit
    labels: tuple[Label, ...]
    help: str
    combine: Combine
    read: Callable[[Seen_contra], Iterable[Sample]]
    # Upper bounds in the unit of the metric; the last bucket, +Inf, is not named. Histograms only.
    buckets: tuple[float, ...] | None = None
    stability: Stability = Stability.STABLE

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names under which Prometheus stores it, to be used in queries."""
        if self.kind is Kind.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)

    @property
    def family_name(self) -> str:
        """The name of the family in OpenMetrics, where `_total` and `_info` belong to the sample."""
        match self.kind:
            case Kind.COUNTER:
                return self.name.removesuffix("_total")
            case Kind.INFO:
                return self.name.removesuffix("_info")
            case _:
                return self.name

    @property
    def unit_suffix(self) -> str:
        """The unit, if the name of the family ends in it, as OpenMetrics demands; else empty."""
        return str(self.unit) if self.unit and self.family_name.endswith(f"_{self.unit}") else ""


def series_count(metric: Metric[Seen_contra], samples: Sequence[Sample]) -> int:
    """How many series these samples of `metric` are on the wire."""
    if metric.kind is not Kind.HISTOGRAM:
        return len(samples)
    # A series a bucket, besides the count and the sum.
    return sum(len(value.counts) + 2 for _, value in samples if isinstance(value, HistogramSnapshot))
