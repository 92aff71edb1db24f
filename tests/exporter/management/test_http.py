"""What a client of the management port sees: paths, methods, headers, errors."""

from __future__ import annotations

import gzip
import logging
import re
import socket

import pytest

from engine.core.clock import ManualClock
from engine.core.snapshot import EngineState, PartitionState
from exporter.management.health import health_of, readiness_of
from exporter.management.hosts import HostNames, host_name
from exporter.page import assets
from tests.support.management import OpenPort
from tests.support.snapshots import TAKEN_MONOTONIC_NS, engine_snapshot, partition

EVERY_PATH = [
    "/",
    "/metrics",
    "/actuator",
    "/actuator/prometheus",
    "/actuator/flowControl",
    "/actuator/health/liveness",
    "/actuator/health",
    "/actuator/info",
    "/-/healthy",
    "/api/history",
]


@pytest.mark.parametrize("path", ["/metrics", "/actuator/prometheus"])
def test_metrics_are_served_as_text_to_who_does_not_ask_for_more(port: OpenPort, path: str) -> None:
    answer = port.client.get(path, headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in answer.headers
    assert 'penstock_throttled{partition="1",pipeline="flights"} 1.0\n' in answer.text


def test_open_metrics_is_served_to_who_would_rather_have_it(port: OpenPort) -> None:
    answer = port.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")


def test_gzip_is_served_where_it_is_welcome(port: OpenPort) -> None:
    with port.client.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(raw)
    assert gzip.decompress(raw).startswith(b"# HELP penstock_")
    assert "content-encoding" not in port.client.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"}).headers


def test_names_restrict_the_metrics(port: OpenPort) -> None:
    answer = port.client.get("/metrics", params={"name[]": ["penstock_throttled", "penstock_series"]})
    assert re.findall(r"^# TYPE (\S+)", answer.text, re.M) == ["penstock_throttled", "penstock_series"]


@pytest.mark.parametrize("path", EVERY_PATH)
def test_head_answers_like_get_without_a_body(port: OpenPort, path: str) -> None:
    head, get = port.client.head(path), port.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("path", EVERY_PATH)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_with_allow(port: OpenPort, path: str, method: str) -> None:
    answer = port.client.request(method, path)
    assert answer.status_code == 405
    allowed = "GET, HEAD, POST" if path == "/actuator/flowControl" else "GET, HEAD"
    assert answer.headers["allow"] == allowed
    assert allowed in (answer.json().get("detail") or answer.json()["error"])


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/actuator/flowcontrol", "/api/nothing", "/actuator//info"])
def test_what_is_not_there_is_a_clean_404(port: OpenPort, path: str) -> None:
    answer = port.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": f"there is nothing at {path}",
    }


@pytest.mark.parametrize("path", EVERY_PATH)
def test_every_answer_forbids_sniffing_and_storing(port: OpenPort, path: str) -> None:
    answer = port.client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


def test_the_page_links_only_to_what_answers_and_needs_no_inline_code(port: OpenPort) -> None:
    page = port.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"<script(?! src=)|<style|style=|\son\w+=|https?:", page.text)
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert {"metrics", "static/page.js"} <= set(links)
    assert not [link for link in links if link.startswith("/")], "relative, so that a proxy may put it anywhere"
    answers = {link: port.client.get(f"/{link}").status_code for link in links}
    # Readiness is told by its status.
    assert answers == {link: 503 if link.endswith("readiness") else 200 for link in links}


def test_each_file_of_the_page_has_its_type_and_is_sent_once(port: OpenPort) -> None:
    types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
    assert len(assets()) >= 7
    for path in assets():
        first = port.client.get(f"/static/{path}")
        assert first.headers["content-type"] == types[path[path.rindex(".") :]]
        assert first.headers["cache-control"] == "no-cache"
        again = port.client.get(f"/static/{path}", headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/", "/static/index.html", "/static/../files.py", "/static/%2e%2e/files.py", "/static/uplot"]
)
def test_nothing_but_the_files_of_the_page_is_served(port: OpenPort, path: str) -> None:
    assert port.client.get(path).status_code == 404


def test_no_file_of_the_page_asks_another_host(port: OpenPort) -> None:
    ours = [asset.body.decode() for path, asset in assets().items() if not path.startswith("uplot/")]
    # The name of SVG's elements, which nobody asks for.
    texts = [text.replace("http://www.w3.org/2000/svg", "") for text in ours]
    assert not [text for text in texts if re.search(r"https?://|@import|url\(", text)]


def test_the_page_escapes_the_name_of_the_pipeline(port: OpenPort) -> None:
    port.engine.told = engine_snapshot(pipeline="<b>&")
    assert "<h1>&lt;b&gt;&amp;</h1>" in port.client.get("/").text


def test_the_actuator_links_to_what_answers(port: OpenPort) -> None:
    links = port.client.get("/actuator").json()["_links"]
    assert links["flowControl"]["href"] == f"{port.server.url}/actuator/flowControl"
    assert {name: port.client.get(link["href"]).status_code for name, link in links.items()} == dict.fromkeys(
        links, 200
    )


# -- errors ---


def test_a_scrape_that_fails_is_a_500_without_a_trace(port: OpenPort, caplog: pytest.LogCaptureFixture) -> None:
    port.engine.snapshot_error = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        answer = port.client.get("/metrics")
    assert (answer.status_code, answer.text) == (500, "the metrics could not be read; the log says why\n")
    assert "secret detail" in caplog.text


def test_an_unexpected_error_is_a_500_without_a_trace(port: OpenPort, caplog: pytest.LogCaptureFixture) -> None:
    port.engine.snapshot_error = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        answer = port.client.get("/actuator/info")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "something went wrong here; the log says what"
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


def test_an_error_that_no_future_can_hold_is_answered_too(port: OpenPort) -> None:
    port.engine.snapshot_error = StopIteration()
    assert port.client.get("/actuator/info").status_code == 500


# -- health ---


@pytest.mark.parametrize("path", ["/actuator/health/liveness", "/-/healthy"])
def test_liveness_asks_the_engine_nothing(port: OpenPort, path: str) -> None:
    port.engine.snapshot_error = RuntimeError("dead")
    answer = port.client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "UP")


@pytest.mark.parametrize(
    ("state", "health", "ready"),
    [
        (EngineState.STARTING, "UP", "OUT_OF_SERVICE"),
        (EngineState.RUNNING, "UP", "UP"),
        (EngineState.STOPPING, "UP", "OUT_OF_SERVICE"),
        (EngineState.FINISHED, "UP", "OUT_OF_SERVICE"),
        (EngineState.FAILED, "DOWN", "DOWN"),
    ],
)
def test_health_and_readiness_follow_the_state_of_the_engine(state: EngineState, health: str, ready: str) -> None:
    snapshot = engine_snapshot(state=state)
    assert health_of(snapshot).status == health
    assert readiness_of(snapshot, TAKEN_MONOTONIC_NS).status == ready


def test_a_failed_partition_is_down_and_named() -> None:
    broken = engine_snapshot(partitions=(partition(1), partition(2, state=PartitionState.FAILED)))
    assert health_of(broken).status == "DOWN"
    assert health_of(broken).reason == "failed partitions: 2"


def test_a_stale_snapshot_is_not_ready() -> None:
    clock = ManualClock(monotonic_ns=TAKEN_MONOTONIC_NS)
    clock.advance(15)
    assert readiness_of(engine_snapshot(), clock.monotonic_ns()).status == "UP"
    clock.advance(1)
    verdict = readiness_of(engine_snapshot(), clock.monotonic_ns())
    assert (verdict.status, verdict.reason) == ("OUT_OF_SERVICE", "the newest snapshot is 16 s old")


@pytest.mark.parametrize("path", ["/actuator/health/readiness", "/-/ready"])
def test_readiness_is_503_while_the_engine_is_not_running(port: OpenPort, path: str) -> None:
    port.engine.told = engine_snapshot(state=EngineState.STOPPING, taken_monotonic_ns=2**62)
    answer = port.client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (503, "OUT_OF_SERVICE")
    port.engine.told = engine_snapshot(taken_monotonic_ns=2**62)
    assert port.client.get(path).status_code == 200


def test_an_engine_without_a_snapshot_is_down(port: OpenPort) -> None:
    port.engine.snapshot_error = RuntimeError("dead")
    answer = port.client.get("/actuator/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "DOWN")


def test_info_says_what_is_running(port: OpenPort) -> None:
    info = port.client.get("/actuator/info").json()
    assert info["pipeline"]["name"] == "flights"
    assert info["pipeline"]["state"] == "running"
    assert info["pipeline"]["partitions"] == 2
    assert info["build"]["name"] == "penstock"
    assert info["build"]["gil"] == "enabled"
    assert info["engine"] == {"storage": "memory"}


# -- who may be spoken to ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9600", 200),
        ("LOCALHOST", 200),
        ("penstock.localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:9600", 200),
        ("10.1.2.3:9600", 200),
        ("penstock.example:80", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("user@localhost", 403),
        ("localhost:port", 403),
        ("localhost:99999", 403),
        ("localhost/path", 403),
    ],
)
def test_only_the_server_s_own_names_and_addresses_are_answered(port: OpenPort, host: str, status: int) -> None:
    answer = port.client.get("/-/healthy", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert "host name" in answer.json()["detail"]


def test_a_request_that_names_two_hosts_is_refused(port: OpenPort) -> None:
    with socket.create_connection(("127.0.0.1", port.server.port), timeout=20) as connection:
        connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).split()[1] in (b"400", b"403")


def test_any_host_is_answered_where_the_owner_says_so() -> None:
    assert HostNames("127.0.0.1", ["*"]).allows("anything.example")
    assert not HostNames("127.0.0.1").allows("anything.example")
    assert HostNames("penstock.internal").allows("penstock.internal:9600")


@pytest.mark.parametrize(
    ("authority", "name"),
    [("a:1", "a"), ("A.b.", "a.b"), ("[::1]:1", "::1"), ("", None), (":80", None), ("a:b", None), ("a?b", None)],
)
def test_the_name_in_an_authority(authority: str, name: str | None) -> None:
    assert host_name(authority) == name


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 200), ("same", 200), ("http://evil.example", 403), ("null", 403), ("http://localhost:1", 403)],
)
def test_a_page_of_another_origin_may_not_change_anything(port: OpenPort, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": port.server.url if origin == "same" else origin}
    answer = port.client.post("/actuator/flowControl", json={"write": {"limit": 5000}}, headers=headers)
    assert answer.status_code == status
    assert bool(port.engine.applied) == (status == 200)


def test_a_page_of_another_origin_may_read(port: OpenPort) -> None:
    assert port.client.get("/metrics", headers={"Origin": "http://evil.example"}).status_code == 200
