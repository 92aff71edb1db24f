"""What may stand in a web config, what its mistakes are called, and that promtool agrees."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError
from exporter.web_config.document import WebConfigDocument, read_web_config
from tests.support.certificates import authority, signed
from tests.support.programs import program

HASH = "$2b$04$yZLnzVSbIFTrlXXyO6xOb.1I.8Y8w.ZE54SVBsBy6XtWVL9kPW.Ti"
FULL = f"""
tls_server_config:
  cert_file: tls/server.pem
  key_file: /etc/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  alice: {HASH}
"""


def read(folder: Path, text: str) -> WebConfigDocument:
    path = folder / "web.yml"
    path.write_text(text)
    return read_web_config(path)


def test_every_key_is_read_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    document = read(tmp_path, FULL)
    tls = document.tls
    assert tls is not None
    assert tls.files == (tmp_path / "tls/server.pem", Path("/etc/server.key"), tmp_path / "ca.pem")
    assert (tls.client_auth_type, tls.min_version, tls.prefer_server_cipher_suites) == (
        "RequireAndVerifyClientCert",
        "TLS12",
        False,
    )
    assert document.headers == {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=31536000"}
    assert document.users == {"alice": HASH}
    assert HASH not in repr(document)


@pytest.mark.parametrize("text", ["", "{}", "tls_server_config:\nbasic_auth_users: {}\n", "http_server_config: {}"])
def test_an_empty_file_is_plain_http_for_everybody(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == WebConfigDocument()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not YAML at line 1"),
        ("[1]", "it must be a section of keys"),
        ("1: 2", "it must be a section of keys"),
        ("tls: {}", "there is no key 'tls'; known are tls_server_config, http_server_config, basic_auth_users"),
        (
            "tls_server_config: {certfile: x}",
            "there is no key 'tls_server_config.certfile'; did you mean 'cert_file'?",
        ),
        ("tls_server_config: {cert_file: x}", "tls_server_config.key_file is missing"),
        ("tls_server_config: {key_file: x}", "tls_server_config.cert_file is missing"),
        ("tls_server_config: {cert_file: 1, key_file: x}", "tls_server_config.cert_file must be a text"),
        ("tls_server_config: {cert: x}", "tls_server_config.cert cannot stand in the file itself; write cert_file"),
        (
            "tls_server_config: {cert_file: x, key_file: x, client_auth_type: RequireAnyClientCert}",
            "tls_server_config.client_auth_type RequireAnyClientCert checks nothing; use RequireAndVerifyClientCert",
        ),
        (
            "tls_server_config: {cert_file: x, key_file: x, client_auth_type: VerifyClientCertIfGiven}",
            "tls_server_config.client_ca_file is missing: certificates of clients need both",
        ),
        (
            "tls_server_config: {cert_file: x, key_file: x, client_ca_file: x}",
            "tls_server_config.client_auth_type is missing: certificates of clients need both",
        ),
        ("tls_server_config: {client_ca_file: x}", "tls_server_config.cert_file is missing"),
        (
            "tls_server_config: {cert_file: x, key_file: x, min_version: TLS13, max_version: TLS12}",
            "tls_server_config.min_version must not be above max_version",
        ),
        (
            "tls_server_config: {cert_file: x, key_file: x, min_version: SSL3}",
            "tls_server_config.min_version must be one of TLS10, TLS11, TLS12, TLS13, not 'SSL3'",
        ),
        (
            "tls_server_config: {cert_file: x, key_file: x, client_allowed_sans: [a]}",
            "tls_server_config.client_allowed_sans cannot be checked here; give the clients a CA of their own",
        ),
        ("http_server_config: {http2: maybe}", "http_server_config.http2 must be true or false"),
        (
            "http_server_config: {headers: {X-Frame-Options: always}}",
            "http_server_config.headers.X-Frame-Options must be one of deny, sameorigin, not 'always'",
        ),
        (
            'http_server_config: {headers: {X-XSS-Protection: "1\\r\\nSet-Cookie: a"}}',
            "http_server_config.headers.X-XSS-Protection must be printable ASCII in one line",
        ),
        (
            "basic_auth_users: {alice: secret}",
            "basic_auth_users.alice must be a bcrypt hash, as `htpasswd -nB alice` prints it",
        ),
        (
            f'basic_auth_users: {{"a:b": "{HASH}"}}',
            "'basic_auth_users.a:b' cannot be a user's name; it must not be empty nor hold a colon",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, text)
    assert str(raised.value) == f"{tmp_path / 'web.yml'}: {sentence}"
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
        read_web_config(tmp_path / "web.yml")


@settings(deadline=None)
@given(text=st.text(alphabet="abc_: {}[]\n-&*!'\"", max_size=60))
def test_whatever_stands_there_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    sentence = ""
    try:
        read(tmp_path_factory.getbasetemp(), text)
    except ConfigurationError as error:
        sentence = str(error)
    assert "\n" not in sentence


@pytest.mark.real
def test_promtool_finds_nothing_wrong_with_what_is_accepted_here(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    server = signed(tmp_path, "server", ca)
    for text in (FULL.replace("tls/server.pem", "server.pem").replace("/etc/server.key", str(server.key)), ""):
        read(tmp_path, text)
        checked = subprocess.run(
            [program("promtool"), "check", "web-config", tmp_path / "web.yml"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stderr) == (0, f"{tmp_path / 'web.yml'} SUCCESS\n")
