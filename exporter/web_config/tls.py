"""TLS contexts as the file asks for them, and one that is always the newest."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Self

from exporter.door import ConfigurationError
from exporter.web_config.document import TlsSection

_VERSIONS = MappingProxyType(
    {
        "TLS10": ssl.TLSVersion.TLSv1,
        "TLS11": ssl.TLSVersion.TLSv1_1,
        "TLS12": ssl.TLSVersion.TLSv1_2,
        "TLS13": ssl.TLSVersion.TLSv1_3,
    }
)
_AUTH_TYPES = MappingProxyType(
    {
        "NoClientCert": ssl.CERT_NONE,
        "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
        "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
    }
)
# OpenSSL's names of the suites of TLS 1.2 that Go still knows. Those of TLS 1.3 cannot be chosen, there as here.
_SUITES = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
        "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    }
)
_TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


def tls_context(tls: TlsSection) -> ssl.SSLContext:
    """A context for our end of a connection. Raises `ConfigurationError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"certificate {tls.cert_file} and key {tls.key_file} cannot be used: {_reason(error)}"
        ) from None
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except OSError as error:
            raise ConfigurationError(f"{tls.client_ca_file} cannot be used: {_reason(error)}") from None
    context.verify_mode = _AUTH_TYPES[tls.client_auth_type]
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.cipher_suites:
        context.set_ciphers(":".join(_openssl_names(tls.cipher_suites)))
    return context


class NewestContext(ssl.SSLContext):
    """A context that makes each new connection with the newest one there is.

    asyncio and uvloop open every connection by `wrap_bio`, and ask nothing else of it.
    """

    _newest: Callable[[], ssl.SSLContext]

    def __new__(cls, newest: Callable[[], ssl.SSLContext]) -> Self:  # noqa: ARG004
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, newest: Callable[[], ssl.SSLContext]) -> None:
        self._newest = newest

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._newest().wrap_bio(*args, **kwargs)


def _openssl_names(suites: tuple[str, ...]) -> list[str]:
    unknown = [suite for suite in suites if suite not in _SUITES and suite not in _TLS13_SUITES]
    if unknown:
        raise ConfigurationError(f"cipher suite {unknown[0]!r} is not known here; known are {', '.join(_SUITES)}")
    chosen = [_SUITES[suite] for suite in suites if suite in _SUITES]
    if not chosen:
        raise ConfigurationError("cipher_suites must name one of TLS 1.2; those of 1.3 cannot be chosen")
    return chosen


def _no_password() -> str:
    # Without it OpenSSL would ask on the terminal.
    raise ValueError("a key with a password cannot be read")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
