"""A marker stands wherever a file may hold a secret, and nowhere in what anybody can read."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml

from engine.core.errors import ConfigurationError
from engine.core.secrets import Secrets, named_address, shown_address
from exporter.management.openapi.document import described
from penstock.settings import load_settings
from tests.support.commands import penstock
from tests.support.flights import ROOT
from tests.support.prometheus import free_port
from tests.support.targets.http_target import HttpTarget, Posted, Reply
from tests.support.waiting import WAIT_SECONDS, wait_until

# Each is another one, so that what leaks says where from. One has characters that an address must escape.
_MARK = "hunter2"
USER_CODE = """
class Failing:
    def __init__(self, password, endpoint):
        self.words = f"{password} at {endpoint}"

    def open(self, context):
        pass

    def export(self, records):
        raise RuntimeError(f"cannot log in with {self.words}")

    def close(self):
        pass
"""


def marked(what: str) -> str:
    return f"{_MARK}-{what}"


def echo(posted: Posted) -> Reply:
    """A target that refuses and repeats all it was sent, as some do."""
    return Reply(401, f"{posted.path} {posted.headers}".encode())


def document(port: int, target: str) -> dict[str, Any]:
    """A file with a marker in every field that may hold a secret."""

    def address(what: str, scheme: str = "http", query: bool = True) -> str:
        password = quote(f"{marked(what)}/@:", safe="")
        asked = f"?token={marked(what)}-query" if query else ""
        return f"{scheme}://{marked(what)}-user:{password}@{target}/path{asked}"

    return {
        "pipeline": {
            "name": "secretive",
            "sources": {"g": {"generator": {"rate": 50, "keys": 3}}},
            "exporters": {
                "web": {"http": {
                    "url": address("http"), "headers": {"X-Key": marked("header"), "A": "Bearer " + marked("bearer")}
                }},
                "search": {"elasticsearch": {"url": address("es"), "apiKey": marked("apikey")}},
                "named": {
                    "elasticsearch": {"url": f"http://{target}/", "username": "u", "password": marked("espassword")}
                },
                "rows": {"postgres": {"url": address("pg", "postgresql", query=False)}},
                "words": {"postgres": {"url": f"host=127.0.0.1 port=1 user=u password={marked('pgword')}"}},
                "own": {"class": "secretive_code:Failing", "options": {
                    "password": marked("option"), "endpoint": address("optionurl"),
                }},
            },
        },
        "management": {"port": port},
        "otlp": {
            "endpoint": address("otlp"),
            "interval": "1s",
            "timeout": "1s",
            "headers": {"authorization": "Basic " + marked("otlpheader")},
            "traces": {"enabled": True, "endpoint": address("traces")},
        },
    }  # fmt: skip


def places(said: str) -> list[str]:
    """Where a secret shows, with what stands around it."""
    coded = base64.b64encode(_MARK.encode())[:8].decode()
    found = []
    for mark in (_MARK, coded):
        at = said.find(mark)
        while at >= 0:
            found.append(said[max(0, at - 80) : at + 60])
            at = said.find(mark, at + 1)
    return found


@contextmanager
def running(folder: Path, written: dict[str, Any], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "secretive.yaml").write_text(yaml.safe_dump(written))
    (folder / "secretive_code.py").write_text(USER_CODE)
    command = [sys.executable, "-m", "penstock", "run", str(folder / "secretive.yaml"), *options]
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_HEADERS": f"no header {marked('environment')}"}
    with (folder / "log.txt").open("wb") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()


@pytest.mark.parametrize(("workers", "form"), [(1, "text"), (1, "json"), (2, "text")])
def test_no_secret_shows_in_a_log_line_an_answer_a_metric_or_a_page(tmp_path: Path, workers: int, form: str) -> None:
    target = HttpTarget()
    target.behave = echo
    port = free_port()
    written = document(port, f"127.0.0.1:{target.port}")
    written["logging"] = {"format": form, "level": "debug"}
    written["workers"] = workers
    written["pipeline"]["partitions"] = workers
    written["pipeline"]["key"] = "key"
    if workers > 1:
        # Options of a class are for one process.
        del written["pipeline"]["exporters"]["own"]
    url = f"http://127.0.0.1:{port}"
    with running(tmp_path, written) as process, httpx.Client(base_url=url, timeout=20) as client:

        def all_have_failed() -> bool:
            assert process.poll() is None, (tmp_path / "log.txt").read_text()
            try:
                told = client.get("/api/exporters").json()
            except httpx.TransportError:
                return False
            # A partition that no record has come to hands nothing over.
            return "exporters" in told and all(
                any(part["lastError"] for part in e["partitions"]) for e in told["exporters"]
            )

        assert wait_until(all_have_failed, 60), client.get("/api/exporters").text
        assert wait_until(lambda: "cannot be pushed" in (tmp_path / "log.txt").read_text(), 30)
        seen = ""
        for operation in described():
            if operation.method == "get" and "{" not in operation.path and operation.path != "/api/events":
                seen += client.get(operation.path).text
        for name in ("openmetrics-text",):
            seen += client.get("/metrics", headers={"accept": f"application/{name}"}).text
        assert not places(seen)
        told = str(client.get("/api/exporters").json())
        assert "***" in told, "the targets repeat what they are sent"
    said = (tmp_path / "log.txt").read_text()
    target.stop()
    assert not places(said)


def test_a_check_shows_none(tmp_path: Path) -> None:
    (tmp_path / "secretive.yaml").write_text(yaml.safe_dump(document(9600, "127.0.0.1:1")))
    (tmp_path / "secretive_code.py").write_text(USER_CODE)
    code, out, err = penstock("check", str(tmp_path / "secretive.yaml"))
    assert code == 0, err
    assert not places(out + err)


def leaves(written: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(written, dict):
        for key, value in written.items():
            yield (*path, key)
            yield from leaves(value, (*path, key))


def mistake_in(file: Path) -> str:
    try:
        load_settings(file, {})
    except ConfigurationError as error:
        return str(error)
    return ""


# Names and references to code are shown wherever they are used; nobody keeps a secret there.
SHOWN = ("name", "class")
SECRETIVE = [path for path in leaves(document(9600, "127.0.0.1:1")) if len(path) > 1 and path[-1] not in SHOWN]


@pytest.mark.parametrize("path", SECRETIVE, ids=".".join)
def test_a_mistake_in_any_place_repeats_no_secret(tmp_path: Path, path: tuple[str, ...]) -> None:
    (tmp_path / "secretive_code.py").write_text(USER_CODE)
    wrong_addresses = [
        f"http://user:{marked('a')}/b@host", f"ftp://{marked('a')}@host", f"http://u:{marked('a')}@[::1",
        f"{marked('a')}@x", f"http://u:p@host:{marked('a')}", f"://{marked('a')}@",
    ]  # fmt: skip
    for wrong in (*wrong_addresses, 4711, [wrong_addresses[0]], {"a": wrong_addresses[0]}, None, True):
        written = document(9600, "127.0.0.1:1")
        inner = written
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        (tmp_path / "secretive.yaml").write_text(yaml.safe_dump(written))
        said = mistake_in(tmp_path / "secretive.yaml")
        assert not places(said), said
        if path[-1] in ("url", "endpoint", "headers", "apiKey", "X-Key"):
            assert "4711" not in said


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://alice:{marked('cli')}@host", f"http://alice:{marked('cli')}@host:port", f"http://a:{marked('cli')}@[::1",
        f"http://alice:{marked('cli')}@127.0.0.1:1",
    ],
)  # fmt: skip
def test_a_command_that_cannot_reach_a_pipeline_repeats_no_password(url: str) -> None:
    code, out, err = penstock("flow-control", "get", "--url", url)
    assert code != 0
    assert err
    assert not places(out + err)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host:9200/path?token=x#y", "https://host:9200/path"),
        ("postgresql://u@[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("http://u:1/2@host/path", "the configured address"),
        ("http://u:p?q@host", "the configured address"),
        ("http://u:p#q@host", "the configured address"),
        ("host=h password=p", "the configured address"),
        ("", "the configured address"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_secret(url: str, shown: str) -> None:
    assert shown_address(url) == shown
    assert "@" not in named_address(url)


def test_secrets_are_hidden_the_longest_first_and_short_words_are_left() -> None:
    secrets = Secrets.together(
        (Secrets.of("secret", "secret-and-more", "abc"), Secrets.of_address("http://x@h/?k=tokens"))
    )
    assert secrets.hide("secret-and-more, secret, abc, tokens, x") == "***, ***, abc, ***, x"
    assert "tokens" not in repr(secrets)
