"""What stands on the wire: golden files, the judgement of promtool and of the parsers, prometheus_client's own output.

A golden file that should change is written anew by `python -m tests.exporter.prometheus.test_exposition`.
"""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as text_of
from prometheus_client.metrics_core import Metric as ClientMetric
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics_of
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineSnapshot
from exporter.build import penstock_version, python_version
from exporter.catalogue import PortSnapshot, metric, metric_of_sample, metrics
from exporter.prometheus import Exposer, ExpositionWriter, Format
from exporter.prometheus.collector import PenstockCollector, prometheus_family
from exporter.scraper import Family, Scraper
from tests.support.engines import FakeEngine, FakeEngines
from tests.support.programs import program
from tests.support.snapshots import (
    TAKEN_MONOTONIC_NS,
    bridge_snapshot,
    bridged_snapshot,
    busy_snapshot,
    engine_snapshot,
    partition,
    record_exporter,
    wide_snapshot,
)

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = {Format.TEXT: GOLDEN / "busy.prom", Format.OPEN_METRICS: GOLDEN / "busy.openmetrics"}


def clock() -> ManualClock:
    """A quarter of a second after the snapshots were taken."""
    return ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS + 250_000_000)


def pushes() -> dict[str, int]:
    return {"success": 40, "failure": 2, "skipped": 0}


def port() -> PortSnapshot:
    return PortSnapshot(connections=3, refused=1, malformed=2)


def families_of(snapshot: EngineSnapshot) -> tuple[Family, ...]:
    return Scraper(everything(snapshot), clock=clock(), pushes=pushes, port=port).scrape(lambda families: families)


def everything(snapshot: EngineSnapshot) -> FakeEngines:
    """An engine, and behind the same door another one's job and the bridge to it."""
    return FakeEngines(snapshot, bridged_snapshot(), bridge_snapshot())


def exposed(snapshot: EngineSnapshot, format: Format) -> str:
    exposer = Exposer(
        FakeEngine(snapshot) if snapshot == engine_snapshot() else everything(snapshot),
        clock=clock(),
        pushes=pushes,
        port=port,
    )
    return exposer.expose(accept=format.value, accept_encoding="").body.decode()


def portable(exposition: str) -> str:
    """Without what depends on the build that runs the test."""
    return exposition.replace(f'version="{penstock_version()}"', 'version="0.0.0"').replace(
        f'python_version="{python_version()}"', 'python_version="3.0.0"'
    )


class Fixed(Collector):
    """The families it was given, in the words of prometheus_client."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        self._families = families

    def collect(self) -> Iterator[ClientMetric]:
        return map(prometheus_family, self._families)


def client_output(families: tuple[Family, ...], format: Format) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fixed(families))
    return (text_of if format is Format.TEXT else open_metrics_of)(registry)


@pytest.mark.parametrize("format", FORMATS)
def test_the_exposition_of_a_busy_engine_is_the_golden_one(format: Format) -> None:
    assert portable(exposed(busy_snapshot(), format)) == FORMATS[format].read_text(encoding="utf-8")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("snapshot", [busy_snapshot(), engine_snapshot()], ids=["busy", "quiet"])
def test_the_exposition_is_byte_for_byte_what_prometheus_client_writes(
    snapshot: EngineSnapshot, format: Format
) -> None:
    families = families_of(snapshot)
    assert ExpositionWriter().render(families, format) == client_output(families, format)


@given(name=st.text(max_size=20), value=st.one_of(st.integers(0, 2**60), st.floats(allow_nan=False)))
def test_any_label_value_and_number_is_written_as_prometheus_client_writes_it(name: str, value: float) -> None:
    name = name.encode("utf-8", "replace").decode()
    families = (Family(metric("penstock_exporter_backlog_records"), ((("p", "1", name), value),)),)
    for format in Format:
        assert ExpositionWriter().render(families, format) == client_output(families, format)


@pytest.mark.real
@pytest.mark.parametrize("snapshot", [busy_snapshot(), engine_snapshot()], ids=["busy", "quiet"])
def test_promtool_has_nothing_to_say_against_the_exposition(snapshot: EngineSnapshot) -> None:
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=exposed(snapshot, Format.TEXT),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_both_parsers_read_the_same_samples_and_every_one_is_in_the_catalogue() -> None:
    text = list(parse_text(exposed(busy_snapshot(), Format.TEXT)))
    open_metrics = list(parse_open_metrics(exposed(busy_snapshot(), Format.OPEN_METRICS)))

    def samples(families: list[ClientMetric]) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
        return {(s.name, tuple(sorted(s.labels.items())), s.value) for f in families for s in f.samples}

    assert samples(text) == samples(open_metrics)
    assert {metric_of_sample(name).name for name, _, _ in samples(text)} == {m.name for m in metrics()}


def test_no_series_occurs_twice_and_penstock_series_counts_them() -> None:
    lines = [line for line in exposed(busy_snapshot(), Format.TEXT).splitlines() if not line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series)
    assert f'penstock_series{{pipeline="flights"}} {len(series)}.0' in lines


def test_every_family_has_help_and_type_right_before_its_samples() -> None:
    named = set()
    lines = exposed(busy_snapshot(), Format.TEXT).splitlines()
    for help_line, type_line in pairwise(lines):
        if help_line.startswith("# HELP "):
            name = help_line.split()[2]
            assert type_line.startswith(f"# TYPE {name} ")
            assert name not in named
            named.add(name)
    assert named == {m.name for m in metrics()}


def test_open_metrics_ends_with_eof_and_text_does_not() -> None:
    assert exposed(engine_snapshot(), Format.OPEN_METRICS).endswith("\n# EOF\n")
    assert "# EOF" not in exposed(engine_snapshot(), Format.TEXT)


def test_a_metric_of_which_nothing_is_known_is_not_mentioned() -> None:
    assert "penstock_exporting_backlog_records" not in exposed(engine_snapshot(), Format.TEXT)


def test_a_second_scrape_with_cached_lines_says_the_same() -> None:
    writer, families = ExpositionWriter(), families_of(busy_snapshot())
    first = writer.render(families, Format.TEXT)
    assert writer.render(families, Format.TEXT) == first


def test_series_that_are_gone_leave_the_exposition_and_the_cache() -> None:
    writer = ExpositionWriter()
    writer.render(families_of(wide_snapshot(partitions=50, subtasks=50)), Format.TEXT)
    small = families_of(wide_snapshot(partitions=1, subtasks=1))
    body = writer.render(small, Format.TEXT).decode()
    assert 'partition="50"' not in body
    samples = sum(len(family.samples) for family in small)
    kept = sum(len(lines) for lines in (*writer._plain.values(), *writer._buckets.values()))
    assert kept == samples


def test_a_name_restricts_the_scrape_to_its_family() -> None:
    exposer = Exposer(FakeEngine(), clock=clock())
    names = ["penstock_throttled", "penstock_append_duration_seconds_bucket", "penstock_writes", "unknown"]
    body = exposer.expose(accept="", accept_encoding="", names=names).body.decode()
    assert [line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")] == [
        "penstock_writes_total",
        "penstock_throttled",
        "penstock_append_duration_seconds",
    ]


def test_a_compressed_exposition_is_the_same_and_smaller() -> None:
    exposer = Exposer(FakeEngine(), clock=clock())
    plain = exposer.expose(accept="", accept_encoding="", names=["penstock_writes_total"])
    packed = exposer.expose(accept="", accept_encoding="gzip", names=["penstock_writes_total"])
    assert (plain.content_encoding, packed.content_encoding) == (None, "gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 3


def test_the_collector_registers_without_asking_the_engine_and_collects_afresh() -> None:
    engine = FakeEngine()
    engine.snapshot_error = RuntimeError("asked")
    registry = CollectorRegistry(auto_describe=True)
    registry.register(PenstockCollector(engine, clock=clock()))
    engine.snapshot_error = None
    backlog = {"pipeline": "flights", "partition": "1"}
    assert registry.get_sample_value("penstock_exporting_backlog_records", backlog) == 150_000
    engine.told = engine_snapshot(partitions=(partition(1, backlog_records=7, exporters=(record_exporter("file"),)),))
    assert registry.get_sample_value("penstock_exporting_backlog_records", backlog) == 7
    assert registry.get_sample_value("penstock_exporting_backlog_records", {**backlog, "partition": "2"}) is None


def test_the_collector_gives_what_the_exposition_says() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PenstockCollector(FakeEngine(), clock=clock(), pushes=pushes))
    without_port = Exposer(FakeEngine(), clock=clock(), pushes=pushes)
    assert text_of(registry) == without_port.expose(accept=Format.TEXT.value, accept_encoding="").body


def test_the_collector_describes_every_family_so_that_a_registry_can_be_restricted() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PenstockCollector(FakeEngine(), clock=clock()))
    body = text_of(registry.restricted_registry(["penstock_throttled"])).decode()
    assert 'penstock_throttled{partition="1",pipeline="flights"} 1.0' in body
    assert "penstock_writes_total" not in body


if __name__ == "__main__":
    for format_, path in FORMATS.items():
        path.write_text(portable(exposed(busy_snapshot(), format_)), encoding="utf-8")
