"""TLS, users, rights and the audit line on a port that is really open."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from exporter.management import ManagementServer
from exporter.web_config import Access, Right, WebConfig
from tests.support.certificates import Certificate, authority, signed
from tests.support.engines import FakeEngine
from tests.support.web_config import HASHES, with_users, write

ALICE = ("alice", "alice's word")
BOB = ("bob", "bob's word")
CHANGE = {"write": {"limit": 5000}}


@contextmanager
def guarded(web_config: Path, verify: ssl.SSLContext | bool = True, **rights: Right) -> Iterator[httpx.Client]:
    """A client of a port that this web config guards."""
    server = ManagementServer(FakeEngine(), port=0, access=Access(WebConfig(web_config), rights))
    with server, httpx.Client(base_url=server.url, timeout=20, verify=verify) as client:
        yield client


def trusting(ca: Certificate, own: Certificate | None = None) -> ssl.SSLContext:
    """What a client believes, and what it shows."""
    context = ssl.create_default_context(cafile=str(ca.cert))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    return context


# -- users and rights ---


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/history", "/actuator/flowControl", "/-/healthy", "/nothing"])
def test_a_stranger_is_asked_who_he_is_wherever_he_goes(tmp_path: Path, path: str) -> None:
    with guarded(with_users(tmp_path, "alice")) as client:
        for auth in (None, ("alice", "wrong"), ("mallory", "alice's word")):
            answer = client.get(path, auth=auth)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="penstock", charset="UTF-8"'
            assert answer.json()["detail"] == "who asks must say who it is"


def test_a_user_reads_and_only_one_with_the_right_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        guarded(with_users(tmp_path, "alice", "bob"), alice=Right.CHANGE) as client,
        caplog.at_level(logging.INFO, "penstock.audit"),
    ):
        assert [client.get("/metrics", auth=user).status_code for user in (ALICE, BOB)] == [200, 200]
        assert not caplog.records, "reading is not written down"
        refused = client.post("/actuator/flowControl", json=CHANGE, auth=BOB)
        assert (refused.status_code, refused.json()["detail"]) == (403, "bob may read and not change")
        assert client.post("/actuator/flowControl", json=CHANGE, auth=ALICE).status_code == 200
    assert [record.getMessage() for record in caplog.records] == [
        "bob from 127.0.0.1 may only read: POST /actuator/flowControl refused",
        'alice from 127.0.0.1: POST /actuator/flowControl "{\\"write\\":{\\"limit\\":5000}}" -> 200',
    ]


def test_who_asks_is_told_what_he_may_and_no_line_is_written_about_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        guarded(with_users(tmp_path, "alice", "bob"), alice=Right.CHANGE) as client,
        caplog.at_level(logging.INFO, "penstock.audit"),
    ):
        assert client.get("/api/rights", auth=ALICE).json() == {"user": "alice", "mayChange": True}
        assert client.get("/api/rights", auth=BOB).json() == {"user": "bob", "mayChange": False}
        assert client.get("/api/rights").status_code == 401
    assert not caplog.records


def test_where_there_are_no_users_everybody_may_change() -> None:
    with ManagementServer(FakeEngine(), port=0) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        assert client.get("/api/rights").json() == {"user": None, "mayChange": True}


def test_every_request_for_a_change_is_one_line_that_nobody_can_forge(caplog: pytest.LogCaptureFixture) -> None:
    with (
        ManagementServer(FakeEngine(), port=0) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
        caplog.at_level(logging.INFO, "penstock.audit"),
    ):
        json = {"Content-Type": "application/json"}
        client.post("/actuator/flowControl?a=%0A", content=b'\n2026 alice: "\xff' + b"x" * 1000, headers=json)
        client.delete("/metrics")
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith('127.0.0.1: POST /actuator/flowControl?a=%0A "\\n2026 alice: \\"\\ufffdxxx')
    assert first.endswith('xxx" -> 400')
    assert len(first) < 500
    assert second == '127.0.0.1: DELETE /metrics "" -> 405'


def test_who_may_change_follows_the_file_without_a_restart(tmp_path: Path) -> None:
    with guarded(with_users(tmp_path, "alice"), alice=Right.CHANGE) as client:
        assert client.post("/actuator/flowControl", json=CHANGE, auth=ALICE).status_code == 200
        with_users(tmp_path, "bob")
        assert client.post("/actuator/flowControl", json=CHANGE, auth=ALICE).status_code == 401
        assert client.get("/metrics", auth=BOB).status_code == 200


def test_headers_of_the_web_config_stand_on_every_answer_that_has_none_of_its_own(tmp_path: Path) -> None:
    text = "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: sandbox}}"
    with guarded(write(tmp_path / "web.yml", text)) as client:
        for path in ("/metrics", "/nothing"):
            answer = client.get(path)
            assert answer.headers["x-frame-options"] == "deny"
            assert answer.headers["content-security-policy"] == "sandbox"
        assert "default-src 'none'" in client.get("/").headers["content-security-policy"]
        assert len(client.get("/").headers.get_list("content-security-policy")) == 1


# -- TLS ---


def tls(folder: Path, server: Certificate, more: str = "") -> Path:
    return write(folder / "web.yml", f"tls_server_config: {{cert_file: {server.cert}, key_file: {server.key}{more}}}")


@pytest.mark.filterwarnings("ignore:ssl.OP_NO_SSL:DeprecationWarning")
def test_a_port_with_a_certificate_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    with guarded(tls(tmp_path, signed(tmp_path, "server", ca)), trusting(ca)) as client:
        assert client.base_url.scheme == "https"
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert client.get("/actuator").json()["_links"]["self"]["href"].startswith("https://127.0.0.1:")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{client.base_url.port}/metrics", timeout=20)
        old = trusting(ca)
        old.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
        with pytest.raises(httpx.ConnectError):
            httpx.get(str(client.base_url), verify=old, timeout=20)
        stranger = ssl.create_default_context()
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(str(client.base_url), verify=stranger, timeout=20)


def test_only_a_client_with_a_certificate_of_the_right_authority_is_let_in(tmp_path: Path) -> None:
    ca, other = authority(tmp_path, "ca"), authority(tmp_path, "other")
    guest, stranger = signed(tmp_path, "guest", ca), signed(tmp_path, "stranger", other)
    more = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {ca.cert}"
    with guarded(tls(tmp_path, signed(tmp_path, "server", ca), more), trusting(ca, guest)) as client:
        assert client.get("/metrics").status_code == 200
        for own in (None, stranger):
            with pytest.raises(httpx.TransportError):
                httpx.get(str(client.base_url), verify=trusting(ca, own), timeout=20)


def test_a_renewed_certificate_counts_for_the_next_connection_and_open_ones_go_on(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    old, new = signed(tmp_path, "old", ca), signed(tmp_path, "new", ca)
    in_use = Certificate(tmp_path / "server.pem", tmp_path / "server.key")

    def put(certificate: Certificate) -> None:
        for source, target in ((certificate.key, in_use.key), (certificate.cert, in_use.cert)):
            write(target, source.read_text())
            os.chmod(target, 0o600)

    def subject(port: int | None) -> str:
        return ssl.get_server_certificate(("127.0.0.1", port or 0), timeout=20)

    put(old)
    with guarded(tls(tmp_path, in_use), trusting(ca)) as client:
        assert client.get("/-/healthy").status_code == 200
        assert subject(client.base_url.port) == old.cert.read_text()
        put(new)
        assert subject(client.base_url.port) == new.cert.read_text()
        assert client.get("/-/healthy").status_code == 200


def test_users_hold_over_tls_too(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    path = tls(tmp_path, signed(tmp_path, "server", ca))
    write(path, f'{path.read_text()}\nbasic_auth_users: {{alice: "{HASHES["alice"]}"}}\n')
    with guarded(path, trusting(ca)) as client:
        assert [client.get("/metrics", auth=auth).status_code for auth in (None, ALICE)] == [401, 200]
