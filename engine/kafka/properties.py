"""A client's properties as Kafka's own tools write them, in the words of librdkafka."""

from __future__ import annotations

import re
from pathlib import Path

from engine.core.errors import ConfigurationError, SettingError
from engine.kafka.settings import check_property

_JAAS = "sasl.jaas.config"
_STORE = re.compile(r"ssl\.(truststore|keystore)\.(location|type|password)")


def read_properties(file: Path) -> dict[str, str]:
    """Raises `ConfigurationError` with the file and what is wrong, never with a value: it may be a password."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigurationError(f"data.kafka.propertiesFile: {file} cannot be read: {why}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(text), 1):
        name, sign, value = (part.strip() for part in line.partition("="))
        if not sign:
            raise ConfigurationError(f"{file}: entry {number} must be name=value")
        try:
            check_property(name, name)
        except SettingError as error:
            raise ConfigurationError(f"{file}: {error.field} {error.rule}") from None
        found[name] = value
    return _translated(found, file)


def _lines(text: str) -> list[str]:
    """Without comments; a backslash at the end goes on in the next line."""
    joined = re.sub(r"\\\r?\n\s*", "", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "!"))]


def _translated(found: dict[str, str], file: Path) -> dict[str, str]:
    jaas = found.pop(_JAAS, None)
    if jaas is not None:
        for name in ("username", "password"):
            match = re.search(rf'{name}\s*=\s*"((?:[^"\\]|\\.)*)"', jaas)
            if match is None:
                raise ConfigurationError(f'{file}: {_JAAS} must have {name}="…"; other logins are not known here')
            found[f"sasl.{name}"] = re.sub(r"\\(.)", r"\1", match[1])
    stores = {name: found.pop(name) for name in [*found] if _STORE.fullmatch(name)}
    for kind, name in (("truststore", "ssl.ca.location"), ("keystore", "ssl.certificate.location")):
        location = stores.get(f"ssl.{kind}.location")
        if location is None:
            continue
        if stores.get(f"ssl.{kind}.type", "JKS").upper() != "PEM":
            raise ConfigurationError(
                f"{file}: ssl.{kind}.type must be PEM: other stores can be read by Java alone; "
                f"keytool and openssl make PEM of them"
            )
        found[name] = location
        if kind == "keystore":
            # One file has both, as with Java.
            found["ssl.key.location"] = location
    if found.get("ssl.endpoint.identification.algorithm") == "":
        found["ssl.endpoint.identification.algorithm"] = "none"
    return found
