"""Reads the file: every key that exporter-toolkit knows, and a clear refusal of what Python cannot do.

Source of the shape: prometheus/exporter-toolkit, docs/web-configuration.md. Unknown keys are errors, as they are there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml

from exporter.door import ConfigurationError

CLIENT_AUTH_TYPES = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
# A certificate that nobody checks proves nothing, and Python's TLS has no such mode.
_UNCHECKED_AUTH_TYPES = ("RequestClientCert", "RequireClientCert", "RequireAnyClientCert")
VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
# The headers that may be set, and what may stand there where it is a closed list.
_HEADERS: Mapping[str, tuple[str, ...] | None] = MappingProxyType(
    {
        "Content-Security-Policy": None,
        "Strict-Transport-Security": None,
        "X-Content-Type-Options": ("nosniff",),
        "X-Frame-Options": ("deny", "sameorigin"),
        "X-XSS-Protection": None,
    }
)
_BCRYPT = re.compile(r"\$2[aby]?\$\d\d\$[./A-Za-z0-9]{53}")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_FILE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSection:
    """`tls_server_config`. Paths are absolute; names of versions and suites are Go's."""

    cert_file: Path
    key_file: Path
    client_auth_type: str = "NoClientCert"
    client_ca_file: Path | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True

    @property
    def files(self) -> tuple[Path, ...]:
        """What has to be read again when it changes."""
        return (self.cert_file, self.key_file, *(() if self.client_ca_file is None else (self.client_ca_file,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfigDocument:
    """The whole file. An empty one is plain HTTP for everybody."""

    tls: TlsSection | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # Names with bcrypt hashes.
    users: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_web_config(path: Path) -> WebConfigDocument:
    """Reads and checks the file. Raises `ConfigurationError` with one sentence that names the key."""
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > _FILE_BYTES_MAX:
        raise ConfigurationError(f"{path}: is longer than {_FILE_BYTES_MAX} bytes")
    try:
        root = yaml.safe_load(text)
    # Some values that only look like numbers or times are more than the parser's own errors.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{path}: is not YAML{where}") from None
    try:
        return _document(_Keys(root, ""), path.resolve().parent)
    except _Wrong as wrong:
        raise ConfigurationError(f"{path}: {wrong}") from None


class _Wrong(Exception):
    """What is wrong, beginning with the key."""


class _Keys:
    """One section: takes keys out one by one, and at the end complains of what is left."""

    def __init__(self, written: object, path: str) -> None:
        if written is None:
            written = {}
        if not isinstance(written, dict) or not all(isinstance(key, str) for key in written):
            raise _Wrong(f"{path or 'it'} must be a section of keys")
        self._left: dict[str, object] = dict(written)
        self._path = path
        self._known: list[str] = []

    def name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def take(self, key: str) -> object:
        self._known.append(key)
        return self._left.pop(key, None)

    def section(self, key: str) -> _Keys:
        return _Keys(self.take(key), self.name(key))

    def text(self, key: str, default: str = "") -> str:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise _Wrong(f"{self.name(key)} must be a text")
        return value or default

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise _Wrong(f"{self.name(key)} must be true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise _Wrong(f"{self.name(key)} must be a list of texts")
        return tuple(value)

    def one_of(self, key: str, values: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in values:
            raise _Wrong(f"{self.name(key)} must be one of {', '.join(values)}, not {value!r}")
        return value

    def refuse(self, key: str, why: str) -> None:
        if self.take(key) not in (None, "", []):
            raise _Wrong(f"{self.name(key)} {why}")

    def rest(self) -> dict[str, object]:
        """Everything that is left, where any key may stand."""
        left, self._left = self._left, {}
        return left

    def end(self) -> None:
        for key in self._left:
            nearest = difflib.get_close_matches(key, self._known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(self._known)}"
            raise _Wrong(f"there is no key {self.name(key)!r}{hint}")


def _document(root: _Keys, folder: Path) -> WebConfigDocument:
    tls = _tls(root.section("tls_server_config"), folder)
    http = root.section("http_server_config")
    # HTTP/1.1 is what is spoken either way.
    http.flag("http2", True)
    headers = _headers(http.section("headers"))
    http.end()
    users = _users(root.section("basic_auth_users"))
    root.end()
    return WebConfigDocument(tls=tls, headers=headers, users=users)


def _tls(keys: _Keys, folder: Path) -> TlsSection | None:
    def path(key: str) -> Path | None:
        written = keys.text(key)
        return folder / written if written else None

    for key in ("cert", "key", "client_ca"):
        keys.refuse(key, f"cannot stand in the file itself; write {key}_file")
    keys.refuse("curve_preferences", "cannot be chosen here")
    keys.refuse("client_allowed_sans", "cannot be checked here; give the clients a CA of their own")
    cert_file, key_file, client_ca_file = path("cert_file"), path("key_file"), path("client_ca_file")
    auth_type = keys.text("client_auth_type", "NoClientCert")
    if auth_type in _UNCHECKED_AUTH_TYPES:
        raise _Wrong(f"{keys.name('client_auth_type')} {auth_type} checks nothing; use RequireAndVerifyClientCert")
    if auth_type not in CLIENT_AUTH_TYPES:
        raise _Wrong(
            f"{keys.name('client_auth_type')} must be one of {', '.join(CLIENT_AUTH_TYPES)}, not {auth_type!r}"
        )
    min_version = keys.one_of("min_version", VERSIONS, "TLS12")
    max_version = keys.one_of("max_version", VERSIONS, "TLS13")
    suites = keys.texts("cipher_suites")
    prefer = keys.flag("prefer_server_cipher_suites", True)
    keys.end()
    if cert_file is None and key_file is None:
        if auth_type != "NoClientCert" or client_ca_file is not None:
            raise _Wrong(f"{keys.name('cert_file')} is missing")
        return None
    if cert_file is None or key_file is None:
        raise _Wrong(f"{keys.name('cert_file' if cert_file is None else 'key_file')} is missing")
    if (auth_type == "NoClientCert") != (client_ca_file is None):
        what = "client_ca_file" if client_ca_file is None else "client_auth_type"
        raise _Wrong(f"{keys.name(what)} is missing: certificates of clients need both")
    if min_version > max_version:
        raise _Wrong(f"{keys.name('min_version')} must not be above max_version")
    return TlsSection(
        cert_file=cert_file,
        key_file=key_file,
        client_auth_type=auth_type,
        client_ca_file=client_ca_file,
        min_version=min_version,
        max_version=max_version,
        cipher_suites=suites,
        prefer_server_cipher_suites=prefer,
    )


def _headers(keys: _Keys) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, allowed in _HEADERS.items():
        value = keys.text(name)
        if not value:
            continue
        if allowed is not None and value.lower() not in allowed:
            raise _Wrong(f"{keys.name(name)} must be one of {', '.join(allowed)}, not {value!r}")
        if not _PRINTABLE.fullmatch(value):
            raise _Wrong(f"{keys.name(name)} must be printable ASCII in one line")
        headers[name] = value
    keys.end()
    return MappingProxyType(headers)


def _users(keys: _Keys) -> Mapping[str, str]:
    users: dict[str, str] = {}
    for name, hashed in keys.rest().items():
        if not name or ":" in name:
            raise _Wrong(f"{keys.name(name)!r} cannot be a user's name; it must not be empty nor hold a colon")
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            # Whatever stands there may be a password.
            raise _Wrong(f"{keys.name(name)} must be a bcrypt hash, as `htpasswd -nB {name}` prints it")
        users[name] = hashed
    return MappingProxyType(users)
