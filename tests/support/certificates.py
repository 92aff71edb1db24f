"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import program


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


def authority(folder: Path, name: str) -> Certificate:
    """A certificate that signs others."""
    return _make(folder, name, ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"])


def signed(folder: Path, name: str, by: Certificate) -> Certificate:
    """A certificate for `localhost` and 127.0.0.1."""
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    return _make(folder, name, ["-CA", str(by.cert), "-CAkey", str(by.key), *names])


def _make(folder: Path, name: str, options: list[str]) -> Certificate:
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        [
            *(
                program("openssl"),
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-noenc",
            ),
            *("-days", "2", "-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(made.cert)),
            *options,
        ],
        check=True,
        capture_output=True,
    )
    return made
