"""Every block of code of the manual is what it says: programs run, files are read by their readers."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from penstock.cli.main import commands
from penstock.settings import load_settings
from tests.support.blocks import BLOCKS, Block, blocks
from tests.support.certificates import authority
from tests.support.programs import program
from tests.support.web_config import with_users

# `text` is what somebody prints: output, trees, pictures.
LANGUAGES = {"sh", "console", "python", "yaml", "json", "promql", "dockerfile", "sql", "text"}
# What a page's programs find beside what stands in them.
_GIVEN = """\
import asyncio, queue, threading, time
import penstock, penstock.serving
from penstock import Pipeline, generator, lines

# Free ports: others test beside.
for _serve in (penstock.serving.serve, penstock.serving.gateway):
    _serve.__wrapped__.__defaults__ = (0,)
"""
_PIPELINE = 'pipeline = Pipeline("given").source("orders", lines("orders.txt"))\n'
GIVEN = {
    "docs/back-pressure.md": (
        "_inbox = queue.Queue()\n"
        "thread = threading.Thread(target=_inbox.get, daemon=True)\nthread.start()\n"
        "_loop = asyncio.new_event_loop()\n"
        "asyncio_task = _loop.create_task(asyncio.sleep(60))\n"
        "threading.Thread(target=_loop.run_forever, daemon=True).start()\n"
    ),
    "docs/management.md": (
        f"{_PIPELINE}from my_pipelines import orders\n"
        'flights, orders = Pipeline("flights").source("flights", lines("orders.txt")), orders()\n'
    ),
    "docs/metrics.md": (
        "from prometheus_client import CollectorRegistry\nregistry = CollectorRegistry()\n"
        f'{_PIPELINE}engine = pipeline.run(data="data")\n'
    ),
    "docs/traces.md": _PIPELINE,
}
# Run elsewhere, because they need more than a folder with a few lines.
ELSEWHERE = {
    "README.md": "tests/penstock/demo/test_readme.py runs both",
    "docs/first-pipeline.md": "tests/docs/test_first_pipeline.py goes through all of it",
}
# Sections that stand in the file of a pipeline; those below it are put there.
SECTIONS = {"data", "flowControl", "gateway", "otlp", "management", "workers", "web", "engine", "logging"}
BELOW = {"sources", "transforms", "exporters", "processor", "key"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """What files and programs of the manual name; modules that were imported from there are forgotten."""
    (tmp_path / "orders.txt").write_text("one\ntwo\n")
    (tmp_path / "flights.ndjson.gz").write_text("")
    (tmp_path / "flights.py").write_text(
        "def parse(line): ...\nclass DelayStatistics:\n    def process(self, record, context): ...\n"
    )
    (tmp_path / "mymodule.py").write_text(next(b.text for b in blocks("python") if "class ToQueue" in b.text))
    (tmp_path / "my_pipelines.py").write_text(
        "from penstock import Pipeline, lines\n\n\n"
        'def orders():\n    return Pipeline("orders", partitions=2).source("orders", lines("orders.txt")).key_by(str)\n'
    )
    with_users(tmp_path, "alice")
    path, modules = [*sys.path], {*sys.modules}
    yield tmp_path
    sys.path[:] = path
    for module in {*sys.modules} - modules:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


def test_every_block_says_what_it_is() -> None:
    assert len(BLOCKS) > 60
    assert not [f"{block}: {block.language or 'no language'}" for block in BLOCKS if block.language not in LANGUAGES]


PROGRAMS: dict[str, list[Block]] = defaultdict(list)
for _block in blocks("python"):
    PROGRAMS[_block.page].append(_block)


@pytest.mark.parametrize("page", [page for page in PROGRAMS if page not in ELSEWHERE])
def test_the_programs_of_a_page_run_one_after_the_other(page: str, folder: Path) -> None:
    text = "\n".join(block.text.replace("9600", "0") for block in PROGRAMS[page])
    # What looks like a test is one.
    tests = "\nfor _name, _test in [*globals().items()]:\n    if _name.startswith('test_'):\n        _test()\n"
    (folder / "page.py").write_text(_GIVEN + GIVEN.get(page, "") + text + tests)
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_program_can_be_compiled(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_document_is_json(block: Block) -> None:
    json.loads(block.text)


# The files of pipelines in these pages are run with their programs.
FILES = [block for block in blocks("yaml") if block.page not in ELSEWHERE or "pipeline:" not in block.text]


@pytest.mark.parametrize("block", FILES, ids=str)
def test_a_file_is_taken_by_who_reads_it(block: Block, folder: Path) -> None:
    document = yaml.safe_load(block.text)
    keys = {*document}
    if keys & (SECTIONS | BELOW | {"pipeline"}):
        load_settings(_whole(document, folder), {})
    elif "services" in keys:
        ours = [service for service in document["services"].values() if "postgres" not in service.get("image", "")]
        assert ours
        for service in ours:
            _parsed(service["command"])
    elif keys == {"scrape_configs"}:
        _checked("config", folder, block.text)
    else:
        assert keys <= {"tls_server_config", "http_server_config", "basic_auth_users"}, "nobody reads such a file"
        (folder / "ca.pem").write_bytes(authority(folder, "server").cert.read_bytes())
        _checked("web-config", folder, block.text)


def _whole(document: dict[str, Any], folder: Path) -> Path:
    """A file of which the block is a part, with what every pipeline needs besides."""
    pipeline = document.pop("pipeline", {}) | {key: document.pop(key) for key in BELOW & {*document}}
    if "sources" not in pipeline:
        pipeline["sources"] = {"orders": {"lines": {"path": "orders.txt"}}}
    if document.get("data", {}) and isinstance(document["data"], dict) and document["data"].get("storage") == "kafka":
        # A log in Kafka has no files in front of it.
        pipeline["sources"] = {"orders": {"kafka": {"topic": "orders"}}}
    if any("kafka" in kind for kind in pipeline["sources"].values()):
        document.setdefault("data", {}).setdefault("kafka", {}).setdefault("bootstrapServers", "kafka-1:9092")
    file = folder / "whole.yaml"
    file.write_text(yaml.safe_dump({"pipeline": {"name": "orders", "key": "customer"} | pipeline, **document}))
    return file


def _checked(what: str, folder: Path, text: str) -> None:
    (folder / "there.yml").write_text(text)
    done = subprocess.run(
        [program("promtool"), "check", what, "there.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _parsed(words: list[str]) -> None:
    """What a container is told to run is a command, with options that there are."""
    command: click.Command = commands
    context = click.Context(commands)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    command.make_context(command.name, [*words])


@pytest.mark.parametrize("block", blocks("dockerfile"), ids=str)
def test_an_image_runs_a_command_that_there_is(block: Block) -> None:
    instructions = dict(line.split(" ", 1) for line in block.text.splitlines() if line and not line.startswith("#"))
    assert instructions["FROM"].startswith("penstock")
    _parsed(json.loads(instructions["CMD"]))


@pytest.mark.parametrize("block", blocks("promql"), ids=str)
def test_a_query_is_taken_by_prometheus(block: Block, tmp_path: Path) -> None:
    rules = {"groups": [{"name": "manual", "rules": [{"record": "manual:query", "expr": block.text.strip()}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [program("promtool"), "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("sh", "console"), ids=str)
def test_a_shell_can_read_the_commands(block: Block) -> None:
    lines = block.text.splitlines()
    if block.language == "console":
        assert lines[0].startswith("$ "), "a console begins with a prompt"
        return
    for line in block.text.replace("\\\n", " ").splitlines():
        shlex.split(line, comments=True)
