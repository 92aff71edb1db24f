"""What not everybody installs: without it everything else runs, and who asks for it is told what to install."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# The modules of each extra that is a library.
EXTRAS = {
    "postgres": ("psycopg",),
    "otlp": ("opentelemetry",),
    "gateway": ("httptools", "uvloop"),
    "kafka": ("confluent_kafka",),
    "dashboards": ("grafanalib",),
}
PIPELINE = """\
pipeline:
  name: orders
  sources: {orders: {lines: {path: orders.txt}}}
  exporters: {out: {jsonl: {path: out.ndjson}}}
management: {port: 0}
"""


def without(extras: tuple[str, ...], program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the program as if these extras were not installed."""
    gone = [module for extra in extras for module in EXTRAS[extra]]
    begin = f"import sys\nsys.modules.update(dict.fromkeys({gone!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def command(extras: tuple[str, ...], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"sys.argv = ['penstock', *{list(arguments)!r}]\nfrom penstock.cli import main\nmain()"
    return without(extras, program, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.txt").write_text("one\ntwo\n")
    return tmp_path


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr == f"penstock: {said}\n"


def test_a_pipeline_with_page_and_metrics_needs_none_of_them(folder: Path) -> None:
    (folder / "orders.yaml").write_text(PIPELINE)
    done = command((*EXTRAS,), folder, "run", "orders.yaml")
    assert done.returncode == 0, done.stderr
    assert len((folder / "out.ndjson").read_text().splitlines()) == 2


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(
    ("extra", "package", "section", "place"),
    [
        (
            "postgres", "psycopg",
            "  exporters: {db: {postgres: {url: 'postgresql://db/orders'}}}",
            "orders.yaml:4: pipeline.exporters.db.postgres: ",
        ),
        (
            "kafka", "confluent-kafka",
            "  exporters: {topic: {kafka: {topic: orders, bootstrapServers: 'localhost:1'}}}",
            "orders.yaml:4: pipeline.exporters.topic.kafka: ",
        ),
        (
            "kafka", "confluent-kafka",
            "data: {storage: kafka, kafka: {bootstrapServers: 'localhost:1'}}",
            "orders.yaml:4: data.kafka: ",
        ),
        ("gateway", "httptools", "gateway: {enabled: true}", "orders.yaml:4: gateway: "),
        ("otlp", "opentelemetry", "otlp: {endpoint: 'http://localhost:1'}", "orders.yaml:4: otlp.endpoint: "),
        (
            "otlp", "opentelemetry",
            "otlp: {traces: {enabled: true, endpoint: 'http://localhost:1'}}",
            "orders.yaml:4: otlp.traces: ",
        ),
    ],
)  # fmt: skip
def test_who_configures_what_is_not_installed_is_told_where_and_what_to_install(
    folder: Path, verb: str, extra: str, package: str, section: str, place: str
) -> None:
    head = "\n".join(PIPELINE.splitlines()[:3])
    (folder / "orders.yaml").write_text(f"{head}\n{section}\n")
    done = command((extra,), folder, verb, "orders.yaml")
    refused(done, f"{place}this needs {package}, which is not installed: pip install 'penstock[{extra}]'")
    assert sorted(path.name for path in folder.iterdir()) == ["orders.txt", "orders.yaml"], "nothing was made"


@pytest.mark.parametrize("verb", ["build", "check"])
def test_who_makes_dashboards_without_their_library_is_told_what_to_install(folder: Path, verb: str) -> None:
    done = command(("dashboards",), folder, "dashboards", verb, "there")
    refused(done, "this needs grafanalib, which is not installed: pip install 'penstock[dashboards]'")


def test_a_bridge_that_pushes_without_the_library_is_told_so_before_its_port_opens(folder: Path) -> None:
    done = command(
        ("otlp",), folder, "bridge", "flink", "http://localhost:1", "--port", "0", "--otlp", "http://localhost:1"
    )
    refused(done, "this needs opentelemetry, which is not installed: pip install 'penstock[otlp]'")


def test_all_of_penstock_can_be_imported_without_any_of_them(folder: Path) -> None:
    done = without((*EXTRAS,), "from penstock import *\nprint(postgres.__name__, gateway.__name__)", folder)
    assert (done.stdout, done.stderr) == ("postgres gateway\n", "")


@pytest.mark.parametrize(
    ("extra", "package", "statement"),
    [
        ("postgres", "psycopg", "import penstock; penstock.postgres('postgresql://db')"),
        ("otlp", "opentelemetry", "from penstock.otlp import OtlpPusher"),
        ("otlp", "opentelemetry", "from penstock.otlp import BatchTracer"),
        ("gateway", "httptools", "import penstock; penstock.gateway(None).__enter__()"),
    ],
)
def test_a_program_that_imports_what_is_not_installed_gets_an_import_error_that_says_what_to_install(
    folder: Path, extra: str, package: str, statement: str
) -> None:
    done = without((extra,), f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)", folder)
    said = f"this needs {package}, which is not installed: pip install 'penstock[{extra}]'\n"
    assert (done.stdout, done.stderr) == (said, "")
