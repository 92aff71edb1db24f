"""Exemplars stand behind buckets in OpenMetrics, within its limits, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.samples import Exemplar as ParsedExemplar

from engine.core.snapshot import EngineSnapshot, Exemplar, HistogramSnapshot
from exporter.catalogue import Kind, metric
from exporter.catalogue.reading import added
from exporter.prometheus import Exposer, Format
from tests.support.engines import FakeEngine
from tests.support.snapshots import busy_snapshot, engine_snapshot, histogram, marked, partition

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def exposed(snapshot: EngineSnapshot, format: Format) -> str:
    return Exposer(FakeEngine(snapshot)).expose(accept=format.value, accept_encoding="").body.decode()


def parsed(text: str) -> dict[tuple[str, str], ParsedExemplar]:
    return {
        (sample.name, sample.labels["le"]): sample.exemplar
        for family in parse_open_metrics(text)
        for sample in family.samples
        if sample.exemplar is not None
    }


def snapshot_of(*histograms: HistogramSnapshot) -> EngineSnapshot:
    return engine_snapshot(
        partitions=tuple(partition(n, append_duration=one) for n, one in enumerate(histograms, start=1))
    )


def with_labels(*labels: tuple[str, str]) -> HistogramSnapshot:
    one = marked(histogram(1), 0, 0.00001)
    return replace(one, exemplars=tuple(e and replace(e, labels=labels) for e in one.exemplars))


def test_the_parser_of_prometheus_client_reads_them_at_their_buckets() -> None:
    both = marked(marked(histogram(1, 2), 0, 0.00001), 1, 0.00007)
    found = parsed(exposed(snapshot_of(both), Format.OPEN_METRICS))
    assert {key: exemplar.value for key, exemplar in found.items()} == {
        ("penstock_append_duration_seconds_bucket", "5e-05"): 0.00001,
        ("penstock_append_duration_seconds_bucket", "0.0001"): 0.00007,
    }
    exemplar = found["penstock_append_duration_seconds_bucket", "0.0001"]
    assert set(exemplar.labels) == {"trace_id", "span_id"}
    assert float(exemplar.timestamp) == 1_700_000_089.75


def test_the_text_format_has_none() -> None:
    assert " # {" in exposed(busy_snapshot(), Format.OPEN_METRICS)
    assert " # {" not in exposed(busy_snapshot(), Format.TEXT)


def test_a_snapshot_without_exemplars_shows_none() -> None:
    assert " # {" not in exposed(engine_snapshot(), Format.OPEN_METRICS)


def test_labels_of_more_than_128_characters_are_left_out_and_those_of_128_are_not() -> None:
    fits = with_labels(("trace_id", "a" * 120))
    assert len(parsed(exposed(snapshot_of(fits), Format.OPEN_METRICS))) == 1
    too_long = with_labels(("trace_id", "a" * 121))
    assert parsed(exposed(snapshot_of(too_long), Format.OPEN_METRICS)) == {}


def test_odd_labels_are_escaped() -> None:
    odd = with_labels(("trace_id", 'a"b\\c\nd'))
    (line,) = [line for line in exposed(snapshot_of(odd), Format.OPEN_METRICS).splitlines() if " # {" in line]
    assert line.partition(" # ")[2].startswith(r'{trace_id="a\"b\\c\nd"} 1e-05 ')


def test_of_several_partitions_the_newest_of_a_bucket_stands() -> None:
    def at(wall_ns: int, value: float, bucket: int) -> HistogramSnapshot:
        one = marked(histogram(1, 1), bucket, value)
        return replace(one, exemplars=tuple(e and replace(e, wall_ns=wall_ns) for e in one.exemplars))

    together = added(at(5, 0.00001, 0), at(7, 0.00002, 0))
    assert [known and known.value for known in together.exemplars][:2] == [0.00002, None]
    assert added(at(7, 0.00002, 0), at(5, 0.00001, 0)).exemplars == together.exemplars
    apart = added(at(5, 0.00001, 0), at(7, 0.00006, 1))
    assert [known and known.value for known in apart.exemplars][:2] == [0.00001, 0.00006]
    assert added(at(5, 0.00001, 0), histogram(1)).exemplars == at(5, 0.00001, 0).exemplars


def test_only_histograms_can_have_them() -> None:
    names = {name.removesuffix("_bucket") for name, _ in parsed(exposed(busy_snapshot(), Format.OPEN_METRICS))}
    assert names
    assert all(metric(name).kind is Kind.HISTOGRAM for name in names)


def test_an_exemplar_is_plain_data() -> None:
    exemplar = Exemplar(labels=(("trace_id", TRACE),), value=0.5, wall_ns=7)
    assert replace(exemplar) == exemplar
    assert hash(exemplar) == hash(replace(exemplar))
