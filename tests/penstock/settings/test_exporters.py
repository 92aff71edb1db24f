"""Record exporters and the gateway in the file: each kind is made as it is written, each mistake has its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.exporting.elasticsearch import Elasticsearch
from engine.exporting.http import HttpLines
from engine.exporting.jsonl import JsonLines
from engine.exporting.postgres_rows import Postgres
from exporter.gateway.settings import GatewaySettings
from tests.penstock.settings.conftest import Load

USER_CODE = """\
class Mine:
    def __init__(self, where, times=1):
        self.where, self.times = where, times
    def open(self, context): ...
    def export(self, records): ...
    def close(self): ...
"""


@pytest.fixture
def code(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(USER_CODE)


@pytest.mark.parametrize(
    ("written", "kind", "what"),
    [
        (
            "jsonl: {path: out.ndjson, rotate: {size: 64MB, gzip: true, keep: 3}}",
            JsonLines,
            "jsonl to FOLDER/out.ndjson, a new file after 67108864 bytes",
        ),
        (
            "postgres: {url: 'postgresql://me:secret@db:5432/flights', table: a.delays, timeout: 5s}",
            Postgres,
            "postgres to table a.delays at postgresql://db:5432/flights",
        ),
        (
            "elasticsearch: {url: 'https://me:secret@search:9200', index: 'delays-{valueType}', timeout: 5s}",
            Elasticsearch,
            "elasticsearch to index delays-{valueType} at https://search:9200",
        ),
        (
            "http: {url: 'http://there/in?key=secret', headers: {X-Team: delays}}",
            HttpLines,
            "http to http://there/in",
        ),
    ],
)
def test_each_kind_is_made_as_it_is_written_and_told_without_passwords(
    load: Load, tmp_path: Path, written: str, kind: type, what: str
) -> None:
    settings = load(f"  exporters: {{out: {{{written}}}}}\n")
    (exporter,) = settings.pipeline.exporters
    made = exporter.factory()
    assert isinstance(made, kind)
    made.close()
    assert settings.outline[-1].what == what.replace("FOLDER", str(tmp_path))


def test_a_class_of_ones_own_gets_its_options(load: Load, code: None) -> None:
    settings = load("  exporters: {mine: {class: 'theirs:Mine', options: {where: there, times: 3}}}\n")
    mine = settings.pipeline.exporters[0].factory()
    assert (mine.where, mine.times) == ("there", 3)  # type: ignore[attr-defined]
    assert settings.outline[-1].what == "theirs:Mine"


def test_retries_and_the_policy_are_read(load: Load) -> None:
    text = "  exporters: {a: {jsonl: {path: x}, retry: {first: 50ms, longest: 2s}, onError: stop, attempts: 5}}\n"
    (exporter,) = load(text).pipeline.exporters
    assert (exporter.retry.first_ns, exporter.retry.longest_ns) == (50 * NS_PER_MS, 2 * NS_PER_SECOND)
    assert (exporter.on_error, exporter.attempts) == ("stop", 5)


def test_a_password_may_stand_in_the_environment(load: Load) -> None:
    settings = load(
        "  exporters: {search: {elasticsearch: {url: 'http://search:9200', username: me}}}\n",
        environment={"PENSTOCK_PIPELINE_EXPORTERS_SEARCH_ELASTICSEARCH_PASSWORD": "secret"},
    )
    made = settings.pipeline.exporters[0].factory()
    assert isinstance(made, Elasticsearch)
    assert made._client._client.headers["authorization"] == "Basic bWU6c2VjcmV0"
    made.close()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{jsonl: {path: x}, http: {url: 'http://x'}}", "a must have exactly one of jsonl, postgres, elasticsearch,"),
        ("{jsonl: {path: x}, options: {a: 1}}", "exporters.a must have options only beside class"),
        ("{jsonl: {path: x, rotate: {gzip: true}}}", "exporters.a.jsonl.rotate.size is missing"),
        ("{jsonl: {path: x, rotate: {size: 0}}}", "exporters.a.jsonl.rotate: size must be greater than 0, not 0"),
        ("{jsonl: {path: x, rotate: {size: 1, keep: 0}}}", "exporters.a.jsonl.rotate.keep must be at least 1, not 0"),
        ("{postgres: {url: 'postgresql://x', table: Delays}}", "exporters.a.postgres: a table is named in lower case"),
        ("{postgres: {url: 'x y z'}}", "exporters.a.postgres: the database's url cannot be read"),
        ("{elasticsearch: {url: 'http://x', index: A}}", "exporters.a.elasticsearch: an index is named in lower case"),
        ("{elasticsearch: {url: 'x'}}", "exporters.a.elasticsearch: x is no URL"),
        ("{http: {url: 'http://x', timeout: 0s}}", "exporters.a.http: the time an answer may take must be longer"),
        ("{http: {url: 'https://x', caFile: gone.pem}}", "gone.pem with certificates is not there"),
        ("{http: {uri: 'http://x'}}", "exporters.a.http.uri is no known key; did you mean pipeline.exporters.a.http.u"),
        ("{class: 'theirs:Mine'}", "options do not fit the class: missing a required argument: 'where'"),
        ("{class: 'theirs:Mine', options: {where: 1, x: 1}}", "the class: got an unexpected keyword argument 'x'"),
        ("{class: 'theirs:Mina'}", "did you mean Mine?"),
        ("{jsonl: {path: x}, retry: {first: 2s, longest: 1s}}", "retry: longest must not be shorter than first"),
        ("{jsonl: {path: x}, attempts: 0}", "exporters.a.attempts must be at least 1, not 0"),
        ("{jsonl: {path: x}, onError: ignore}", "exporters.a.onError must be one of reject, stop, retry, not ignore"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(load: Load, code: None, written: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(f"  exporters: {{a: {written}}}\n")
    assert said in str(raised.value)
    assert str(raised.value).split(": ")[0].endswith("settings.yaml:4")


def test_without_a_word_there_is_no_gateway(load: Load) -> None:
    assert load().gateway is None
    assert not load().options.run_forever


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("gateway: {enabled: true}", GatewaySettings()),
        ("gateway: {port: 8601}", GatewaySettings(port=8601)),
        (
            "gateway: {host: 0.0.0.0, contextPath: /in, maxBodySize: 1MB, maxBodiesSize: 2MB, maxRecords: 5,"
            " maxConnections: 7, requestTimeout: 5s}",
            GatewaySettings(
                host="0.0.0.0",
                context_path="/in",
                body_bytes_max=1024 * 1024,
                bodies_bytes_max=2 * 1024 * 1024,
                records_max=5,
                connections_max=7,
                request_timeout_ns=5 * NS_PER_SECOND,
            ),
        ),
    ],
)
def test_a_word_of_it_opens_the_gateway_and_the_run_has_no_end_of_its_own(
    load: Load, text: str, settings: GatewaySettings
) -> None:
    found = load(text)
    assert found.gateway == settings
    assert found.options.run_forever
    assert load(f"{text}\n", environment={"PENSTOCK_GATEWAY_ENABLED": "false"}).gateway is None


def test_with_a_gateway_a_pipeline_needs_no_sources(load: Load) -> None:
    settings = load("gateway: {enabled: true}\n", pipeline="pipeline: {name: x}\n")
    assert settings.pipeline.sources == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway: {contextPath: in}", "gateway.contextPath must begin with / and not end with it, like /ingest, not"),
        ("gateway: {contextPath: /in/}", "gateway.contextPath must begin with /"),
        ("gateway: {maxBodySize: 64MB}", "gateway.maxBodiesSize must be at least maxBodySize"),
        ("gateway: {maxBodySize: 0}", "gateway.maxBodySize must be greater than 0, not 0"),
        ("gateway: {requestTimeout: 0s}", "gateway.requestTimeout must be greater than 0, not 0"),
        ("gateway: {prot: 1}", "gateway.prot is no known key; did you mean gateway.port?"),
    ],
)
def test_a_mistake_of_the_gateway_is_one_line(load: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(text)
    assert f"settings.yaml:4: {said}" in str(raised.value)


@pytest.mark.parametrize("page", ["exporters.md", "gateway.md"])
def test_the_settings_on_the_pages_are_read(load: Load, tmp_path: Path, page: str) -> None:
    (tmp_path / "mymodule.py").write_text(USER_CODE.replace("Mine", "ToQueue").replace("where", "address"))
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        indented = "".join(f"  {line}\n" for line in block.splitlines()) if block.startswith("exporters") else block
        assert load(indented).pipeline.name == "small"
