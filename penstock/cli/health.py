"""`penstock health`: whether the pipeline of a file, or the one that runs here, is ready; the check of the image."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from engine.core.condition import Condition
from penstock.cli.ending import RunFailed

if TYPE_CHECKING:
    from penstock.settings import ManagementSettings

_READINESS = "/actuator/health/readiness"
_TIMEOUT_SECONDS = 3
_ANSWER_BYTES_MAX = 64 * 1024
_PROCESSES = Path("/proc")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def health(file: Path | None) -> None:
    """Say whether the pipeline of FILE is ready: exit code 0, or 1 with the reason.

    Without FILE it is the one that `penstock run`, `demo`, `bridge` or `watch` runs on this machine, with its port and
    its environment. Port, TLS and web config are those of the configuration. Where users or certificates are asked for,
    that the port asks for them is all that can be known, and enough.
    """
    running = _Running(None, None, os.environ) if file is not None else _only_one(_running())
    management = _management(file, running)
    if not management.enabled:
        click.echo("it runs without a management port; nothing more can be asked")
        return
    click.echo(_asked(management))


@dataclass(frozen=True, slots=True)
class _Running:
    """A `penstock run`, `demo`, `bridge` or `watch` of this machine; of a file that was named, only the environment."""

    file: Path | None
    management: ManagementSettings | None
    environment: Mapping[str, str]


def _management(file: Path | None, running: _Running) -> ManagementSettings:
    from penstock.settings import load_management

    if running.management is not None:
        return running.management
    found = file or running.file
    assert found is not None, "one of both is known"
    return load_management(found, running.environment)


def _only_one(found: list[_Running]) -> _Running:
    if not found:
        raise RunFailed("no pipeline runs here; name its FILE where it runs under another name")
    if len(found) > 1:
        raise click.UsageError(f"{len(found)} pipelines run here; name the FILE of the one that is meant")
    return found[0]


def _running() -> list[_Running]:
    found = []
    for folder in _PROCESSES.glob("[0-9]*"):
        try:
            arguments = [word.decode() for word in (folder / "cmdline").read_bytes().split(b"\0")[:-1]]
            pairs = [word.decode().partition("=") for word in (folder / "environ").read_bytes().split(b"\0") if word]
            here = (folder / "cwd").resolve(strict=True)
        except (OSError, UnicodeDecodeError):
            # It has ended, or is somebody else's.
            continue
        running = _understood(arguments, {name: value for name, _, value in pairs}, here)
        if running is not None:
            found.append(running)
    return found


def _understood(arguments: list[str], environment: Mapping[str, str], here: Path) -> _Running | None:
    """What a command line runs, if it is one of ours."""
    from dataclasses import replace

    from penstock.cli.bridge import bridge
    from penstock.cli.demo import demo
    from penstock.cli.run import run
    from penstock.cli.watch import watch
    from penstock.settings import ManagementSettings, load_management

    for place, (word, wanted) in enumerate(pairwise(arguments[:5])):
        command = {"run": run, "demo": demo, "watch": watch}.get(wanted) if Path(word).name == "penstock" else None
        rest = arguments[place + 2 :]
        if Path(word).name == "penstock" and wanted == "bridge" and rest:
            command, rest = bridge.commands.get(rest[0]), rest[1:]
        if command is None:
            continue
        try:
            options = command.make_context(command.name, rest, resilient_parsing=True).params
        except click.ClickException:
            return None
        if command is not run:
            web_config = options.get("web_config")
            where = ManagementSettings(
                host=options["host"],
                port=options["port"],
                web_config=None if web_config is None else here / web_config,
            )
            return _Running(None, where, environment)
        if options["file"] is None:
            return None
        file = here / options["file"]
        management = load_management(file, environment)
        if options["no_management"] or options["port"] is not None:
            port = management.port if options["port"] is None else options["port"]
            management = replace(management, enabled=not options["no_management"], port=port)
        return _Running(file, management, environment)
    return None


def _asked(management: ManagementSettings) -> str:
    """What the port says of readiness. Raises `RunFailed` where it is not."""
    from exporter.http_server import url_of
    from exporter.web_config.document import read_web_config

    tls = None if management.web_config is None else read_web_config(management.web_config).tls
    is_tls = tls is not None
    url = url_of(management.host, management.port, "https" if is_tls else "http")
    host, port = url.partition("://")[2].rpartition(":")[::2]
    connection: http.client.HTTPConnection
    if is_tls:
        # Of this machine: whose name the certificate bears does not matter, and nothing secret is sent.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=_TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", _READINESS)
        answer = connection.getresponse()
        status, body = answer.status, answer.read(_ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        is_cut_off = isinstance(error, ssl.SSLError | ConnectionError) and not isinstance(error, ConnectionRefusedError)
        if is_cut_off and tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert":
            return f"{url} answers and asks for a certificate; whether it is ready is told to who has one"
        raise RunFailed(f"{url} does not answer: {getattr(error, 'strerror', None) or error or 'in time'}") from None
    finally:
        connection.close()
    if status == 401:
        return f"{url} answers and asks for a user; whether it is ready is told to who is one"
    reason = _reason(body)
    if status != 200:
        raise RunFailed(f"{url} is not ready: {reason or status}")
    return f"{url} is ready: {reason}"


def _reason(body: bytes) -> str:
    """With the worst that is the case, where anything is."""
    try:
        said = msgspec.json.decode(body)
        if "details" not in said:
            return str(said["detail"])
        details = said["details"]
        condition, reason = details.get("condition", Condition.FINE), str(details["reason"])
        found = details.get("findings", [reason])[0]
        return reason if condition == Condition.FINE or found == reason else f"{reason}; {condition}: {found}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
