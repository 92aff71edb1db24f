"""Writes `docs/metrics.md` from the catalogue: `python -m exporter.catalogue.docs [--check] [FILE]`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from exporter.catalogue.index import ENGINE_METRICS, SCRAPE_METRICS, AnyMetric, metrics
from exporter.catalogue.metric import Combine, Kind, Label, Stability

PATH = Path("docs/metrics.md")

_HEAD = """\
# Metrics

<!-- Written by `python -m exporter.catalogue.docs`; change the catalogue in `exporter/catalogue`, not this page. -->

Every metric that Penstock exposes at `/metrics`, in the order in which it stands there.

## How to get them

**Prometheus** scrapes the management port:

```yaml
scrape_configs:
  - job_name: penstock
    scrape_interval: 5s
    static_configs:
      - targets: ["localhost:9600"]
```

Text 0.0.4 and OpenMetrics 1.0 are served, whichever the scraper likes better, and gzip where it is welcome. All
numbers of a scrape are of one snapshot. `?name[]=penstock_throttled&name[]=penstock_writes_total` asks for some alone.

**An application that embeds Penstock** and has a registry of prometheus_client puts them into it:

```python
from penstock.metrics import PenstockCollector

registry.register(PenstockCollector(engine))
```

Several engines of one program are one by `together` ([management](management.md#from-python)).

**An OpenTelemetry collector** gets them pushed over OTLP/HTTP once `otlp.endpoint` is set (see
[configuration](configuration.md)): the same numbers with the same labels, cumulative, from snapshots of their own.
Names begin with `penstock.` and leave `_total` out (`penstock.writes`, in `{record}`); Prometheus translates them back
to the names below. Do not push to a Prometheus that scrapes as well: it would count everything twice.

With tracing on, the durations of batches carry exemplars that lead to their spans, in OpenMetrics and in what is
pushed; see [traces](traces.md).

## How to read them

- Counters and flags of 0 and 1 are there from the start, at 0, for every combination of labels that is known.
- What is not known or does not apply is absent, never 0: a limit that is disabled, the backlog of a pipeline
  without exporters, a rate before its first sample.
- Times are in seconds, sizes in bytes, ratios between 0 and 1.
- All numbers of one partition, or of one subtask, are of the same moment.
- A *state set* has a series for each value of its last label; at most one of them is 1.
- *Workers* says how the values of several worker processes become one.
"""
_TITLES = MappingProxyType(
    {
        "engine": "The pipeline",
        "flow_control": "Flow control",
        "log": "Log and processor",
        "exporting": "Record exporters",
        "tasks": "Tasks and back pressure",
        "sources": "Sources",
        "gateway": "The gateway",
        "kafka": "The log in a Kafka cluster",
        "instances": "Several instances",
        "bridges": "Bridges to other engines",
        "scrape": "The exporter itself",
    }
)
_WORKERS = MappingProxyType(
    {
        Combine.SUM: "added up",
        Combine.MAX: "largest",
        Combine.MIN: "smallest",
        Combine.LAST: "any of them",
        Combine.OWNER: "one owner",
    }
)


def document() -> str:
    """The whole page."""
    groups: dict[str, Iterable[AnyMetric]] = {**ENGINE_METRICS, "scrape": SCRAPE_METRICS}
    parts = [_HEAD, *(_group(_TITLES[name], group) for name, group in groups.items()), _labels(metrics())]
    return "\n".join(parts)


def _group(title: str, group: Iterable[AnyMetric]) -> str:
    table = "\n".join(map(_row, group))
    return (
        f"## {title}\n\n"
        "| metric | kind | unit | labels | what it says | to ask for it | workers |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        f"{table}\n"
    )


def _row(metric: AnyMetric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.label_names)
    unit = metric.unit.replace("_", " ") or "-"
    workers = _WORKERS[metric.combine]
    told, query = _cell(_told(metric)), _cell(example_query(metric))
    return f"| `{metric.name}` | {metric.kind} | {unit} | {labels} | {told} | `{query}` | {workers} |"


# How the values of several processes become one, in PromQL.
_TOGETHER = {Combine.SUM: "sum", Combine.MIN: "min", Combine.MAX: "max", Combine.LAST: "max", Combine.OWNER: "max"}


def example_query(metric: AnyMetric) -> str:
    """How one usually asks Prometheus for a metric of this kind, however many instances share the pipeline."""
    # By what tells the series apart; which subtask it was is the next question.
    by = ", ".join(name for name in metric.label_names[1:] if name != "subtask") or "pipeline"
    together = _TOGETHER[metric.combine]
    match metric.kind:
        case Kind.COUNTER:
            return f"sum by ({by}) (rate({metric.name}[5m]))"
        case Kind.HISTOGRAM:
            more = f"{by}, " if by != "pipeline" else ""
            return f"histogram_quantile(0.99, sum by ({more}le) (rate({metric.name}_bucket[5m])))"
        case Kind.STATE_SET:
            return f"{together} by ({by}) ({metric.name}) == 1"
        case Kind.GAUGE if metric.name.endswith(("_timestamp_seconds", "_start_time_seconds")):
            # Ages are those at the scrape: at the query what waits for nothing would be a scrape interval old.
            now = "time()" if metric.name.endswith("_start_time_seconds") else f"timestamp({metric.name})"
            return f"{together} by ({by}) ({now} - {metric.name})"
        case Kind.GAUGE:
            return f"{together} by ({by}) ({metric.name})"
        case _:
            return metric.name


def _told(metric: AnyMetric) -> str:
    told = metric.help
    if metric.stability is Stability.EXPERIMENTAL:
        told = f"{told} Experimental: it may change."
    if metric.buckets is not None:
        told = f"{told} Buckets: {', '.join(f'{bound:g}' for bound in metric.buckets)}."
    return told


def _labels(all_metrics: Iterable[AnyMetric]) -> str:
    # The same name may be bounded differently in two metrics; then each bound has a row.
    rows: Mapping[tuple[str, str], None] = dict.fromkeys(
        (label.name, _bound(label)) for metric in all_metrics for label in metric.labels
    )
    table = "\n".join(f"| `{name}` | {_cell(bound)} |" for name, bound in sorted(rows))
    return (
        "## Labels\n\nNo label takes its values from the data.\n\n"
        f"| label | who bounds its values |\n| --- | --- |\n{table}\n"
    )


def _bound(label: Label) -> str:
    if label.values is None:
        return label.bound
    return "one of " + ", ".join(f"`{value}`" for value in label.values)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Writes the page, or with `--check` says whether it is what would be written."""
    check = "--check" in arguments
    paths = [argument for argument in arguments if argument != "--check"]
    path = Path(paths[0]) if paths else PATH
    wanted = document()
    if check:
        if path.is_file() and path.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{path} is not what the catalogue says; run `python -m exporter.catalogue.docs`", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
