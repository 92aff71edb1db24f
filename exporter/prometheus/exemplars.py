"""What OpenMetrics lets stand behind a bucket: where more is told of one of its observations."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.snapshot import Exemplar, HistogramSnapshot
from exporter.door import NS_PER_SECOND
from exporter.prometheus.escaping import escaped
from exporter.prometheus.numbers import go_number

# Of all names and values together (OpenMetrics 1.0, section "Exemplars").
_CHARACTERS_MAX = 128


def exemplars_of(histogram: HistogramSnapshot) -> Sequence[Exemplar | None]:
    """One a bucket. Those whose labels are longer than OpenMetrics allows are left out."""
    if not histogram.exemplars:
        return (None,) * len(histogram.counts)
    return [exemplar if exemplar is not None and _fits(exemplar) else None for exemplar in histogram.exemplars]


def seconds_of(exemplar: Exemplar) -> float:
    """When it was observed."""
    return exemplar.wall_ns / NS_PER_SECOND


def written(exemplar: Exemplar | None) -> str:
    """What stands behind the number of a bucket; empty without an exemplar."""
    if exemplar is None:
        return ""
    labels = ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(exemplar.labels))
    return f" # {{{labels}}} {go_number(exemplar.value)} {seconds_of(exemplar)}"


def _fits(exemplar: Exemplar) -> bool:
    return sum(len(name) + len(value) for name, value in exemplar.labels) <= _CHARACTERS_MAX
