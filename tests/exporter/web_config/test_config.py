"""Users are told apart, rights hold, and a changed file counts from the next question on."""

from __future__ import annotations

import base64
import logging
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError
from exporter.web_config import Access, Known, Right, WebConfig
from exporter.web_config.users import Users
from tests.support.certificates import authority, signed
from tests.support.web_config import HASHES, basic, hashed, with_users, write

# -- users ---


def test_a_right_password_is_checked_once_and_then_known() -> None:
    users, alice = Users(), basic("alice", "alice's word")
    assert users.known(alice, HASHES) is None
    assert users.check(alice, HASHES) == "alice"
    assert users.known(alice, HASHES) == Known("alice")


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("alice", ""), ("nobody", "alice's word")])
def test_a_wrong_one_is_refused_and_that_is_known_too(name: str, password: str) -> None:
    users = Users()
    assert users.check(basic(name, password), HASHES) is None
    assert users.known(basic(name, password), HASHES) == Known(None)


def test_the_password_of_one_is_not_that_of_another_even_when_both_are_known() -> None:
    users = Users()
    users.check(basic("alice", "alice's word"), HASHES)
    assert users.check(basic("bob", "alice's word"), HASHES) is None


def test_a_new_hash_is_a_new_check() -> None:
    users, alice = Users(), basic("alice", "alice's word")
    users.check(alice, HASHES)
    assert users.known(alice, {"alice": hashed("another")}) is None
    assert users.check(alice, {"alice": hashed("another")}) is None


def test_a_user_who_is_gone_is_refused_although_known_before() -> None:
    users, alice = Users(), basic("alice", "alice's word")
    users.check(alice, HASHES)
    assert users.known(alice, {"bob": HASHES["bob"]}) is None
    assert users.check(alice, {"bob": HASHES["bob"]}) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !",
        "Basic YWxpY2U=",
        "Bearer abc",
        "Basic /w==",
        "Digest YWxpY2U6eA==",
        "Basic YTpi YQ==",
    ],
)
def test_a_header_that_names_nobody_is_refused_without_a_check(header: str | None) -> None:
    users = Users()
    assert users.known(header, HASHES) == Known(None)
    assert users.check(header, HASHES) is None


def test_a_password_longer_than_bcrypt_reads_and_one_with_a_zero_byte_do_no_harm() -> None:
    long = "x" * 100
    hashes = {"alice": hashed(long[:72])}
    assert Users().check(basic("alice", long), hashes) == "alice"
    assert Users().check(basic("alice", "a\0b"), hashes) is None


def test_what_is_kept_is_bounded() -> None:
    users = Users()
    for n in range(300):
        users.check(basic("alice", f"guess {n}"), HASHES)
    known = [n for n in range(300) if users.known(basic("alice", f"guess {n}"), HASHES) is not None]
    assert known == list(range(172, 300))


@settings(max_examples=40, deadline=None)
@given(header=st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: "Basic " + base64.b64encode(raw).decode()))
def test_no_header_whatever_is_taken_for_a_user(header: str) -> None:
    assert Users().check(header, HASHES) is None


# -- rights ---


def test_without_users_everybody_may_everything() -> None:
    access = Access()
    assert not access.needs_user
    assert access.may_change(None)


def test_with_users_those_named_may_change_and_the_others_read(tmp_path: Path) -> None:
    access = Access(WebConfig(with_users(tmp_path, "alice", "bob")), {"alice": Right.CHANGE})
    assert access.needs_user
    assert [access.may_change(user) for user in ("alice", "bob", "carol", None)] == [True, False, False, False]


def test_rights_without_users_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="rights need users"):
        Access(WebConfig(), {"alice": Right.CHANGE})


def test_a_right_of_nobody_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Access(WebConfig(with_users(tmp_path, "alice")), {"alcie": Right.CHANGE})
    assert "alcie" in caplog.text


# -- changes of the file ---


def test_a_new_user_may_in_and_an_old_one_no_more_without_a_restart(tmp_path: Path) -> None:
    config = WebConfig(with_users(tmp_path, "alice"))
    assert config.check(basic("alice", "alice's word")) == "alice"
    with_users(tmp_path, "bob")
    assert config.known(basic("alice", "alice's word")) is None
    assert config.check(basic("alice", "alice's word")) is None
    assert config.check(basic("bob", "bob's word")) == "bob"


def test_a_file_that_became_wrong_changes_nothing_and_is_complained_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = WebConfig(with_users(tmp_path, "alice"))
    for broken in ("basic_auth_users: {bob: secret}", "a: ["):
        caplog.clear()
        write(tmp_path / "web.yml", broken)
        assert [config.user_names for _ in range(3)] == [{"alice"}] * 3
        assert len(caplog.records) == 1
        assert "secret" not in caplog.text
    (tmp_path / "web.yml").unlink()
    assert config.user_names == {"alice"}
    with_users(tmp_path, "bob")
    assert config.user_names == {"bob"}


@pytest.mark.parametrize(
    "opened",
    [
        "",
        "\n",
        "# nobody\n",
        "---\n",
        "{}",
        "null",
        "basic_auth_users:",
        "basic_auth_users: {}",
        "basic_auth_users:\n  # alice is on leave\n",
        "http_server_config: {headers: {X-Frame-Options: deny}}",
        "tls_server_config:\nbasic_auth_users:\n",
    ],
)
def test_a_file_that_no_longer_names_users_opens_nothing_however_often_it_is_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, opened: str
) -> None:
    access = Access(WebConfig(with_users(tmp_path, "alice", "bob")), {"alice": Right.CHANGE})
    caplog.clear()
    write(tmp_path / "web.yml", opened)
    for _ in range(3):
        assert access.needs_user
        assert not access.may_change(None)
        assert not access.may_change("bob")
        assert access.may_change("alice")
        assert access.config.headers == {}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    # And later: another one like it, none at all, a folder.
    write(tmp_path / "web.yml", opened + "\n\n")
    assert access.needs_user
    (tmp_path / "web.yml").unlink()
    assert access.needs_user
    (tmp_path / "web.yml").mkdir()
    assert access.needs_user
    (tmp_path / "web.yml").rmdir()
    with_users(tmp_path, "bob")
    assert access.config.user_names == {"bob"}


def test_no_beginning_of_a_file_lets_anybody_in_who_may_not(tmp_path: Path) -> None:
    whole = with_users(tmp_path, "alice", "bob").read_text()
    access = Access(WebConfig(tmp_path / "web.yml"), {"alice": Right.CHANGE})
    for length in range(len(whole)):
        write(tmp_path / "web.yml", whole[:length])
        assert access.needs_user
        assert not access.may_change("bob")
        assert access.check(basic("alice", "bob's word")) is None


@pytest.mark.parametrize("left", ["", "basic_auth_users: {{alice: {hash}}}", "http_server_config: {{http2: true}}"])
def test_tls_and_what_it_asks_of_clients_are_not_lost_by_a_change(tmp_path: Path, left: str) -> None:
    ca = authority(tmp_path, "ca")
    signed(tmp_path, "server", ca)
    kept = "tls_server_config: {cert_file: server.pem, key_file: server.key"
    asks = f"{kept}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: {ca.cert}}}\n"
    config = WebConfig(write(tmp_path / "web.yml", asks))
    context = config.tls()
    assert context is not None
    for weaker in (left.format(hash=HASHES["alice"]), kept + "}\n", "tls_server_config: {}"):
        write(tmp_path / "web.yml", weaker)
        assert config.user_names == set()
        inner = config._newest_context()
        assert inner.verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_is_renewed_although_the_file_that_names_it_is_broken_meanwhile(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    signed(tmp_path, "server", ca)
    text = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
    config = WebConfig(write(tmp_path / "web.yml", text))
    write(tmp_path / "web.yml", "")
    before = config._newest_context()
    assert config._newest_context() is before
    other = signed(tmp_path, "other", ca)
    write(tmp_path / "server.pem", other.cert.read_text())
    write(tmp_path / "server.key", other.key.read_text())
    assert config._newest_context() is not before


@pytest.mark.parametrize(
    "text", ["a: 2024-99-99", "[" * 5000, "a: 0b", "\x00", "? [", "basic_auth_users: !!python/x 1"]
)
def test_whatever_stands_in_a_changed_file_is_one_sentence_and_opens_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    config = WebConfig(with_users(tmp_path, "alice"))
    write(tmp_path / "web.yml", text)
    assert config.user_names == {"alice"}
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_tls_cannot_be_turned_on_while_the_port_is_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = signed(tmp_path, "server", authority(tmp_path, "ca"))
    config = WebConfig(write(tmp_path / "web.yml", ""))
    write(tmp_path / "web.yml", f"tls_server_config: {{cert_file: {server.cert}, key_file: {server.key}}}")
    assert config.headers == {}
    assert config.tls() is None
    assert "by a restart only" in caplog.text


def test_a_certificate_that_comes_later_than_the_file_that_names_it_is_found(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    first = signed(tmp_path, "first", ca)
    config = WebConfig(
        write(tmp_path / "web.yml", f"tls_server_config: {{cert_file: {first.cert}, key_file: {first.key}}}")
    )
    write(
        tmp_path / "web.yml",
        "tls_server_config: {cert_file: second.pem, key_file: second.key}\n"
        "http_server_config: {headers: {X-Frame-Options: deny}}",
    )
    assert config.headers == {}
    signed(tmp_path, "second", ca)
    assert config.headers == {"X-Frame-Options": "deny"}


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("cert_file: nothing.pem, key_file: {key}", "cannot be used: No such file or directory"),
        ("cert_file: {cert}, key_file: {other}", "cannot be used: key values mismatch"),
        ("cert_file: {key}, key_file: {key}", "cannot be used"),
        ("cert_file: {cert}, key_file: {key}, cipher_suites: [NONE]", "cipher suite 'NONE' is not known here"),
        (
            "cert_file: {cert}, key_file: {key}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: no.pem",
            "no.pem cannot be used",
        ),
    ],
)
def test_certificates_that_cannot_be_used_are_said_at_the_start(tmp_path: Path, key: str, sentence: str) -> None:
    ca = authority(tmp_path, "ca")
    server, other = signed(tmp_path, "server", ca), signed(tmp_path, "other", ca)
    text = key.format(cert=server.cert, key=server.key, other=other.key)
    with pytest.raises(ConfigurationError, match=sentence):
        WebConfig(write(tmp_path / "web.yml", f"tls_server_config: {{{text}}}"))
