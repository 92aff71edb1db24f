"""`penstock health` follows the configuration of what runs: port, environment, TLS, users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.core.snapshot import EngineState
from exporter.management import ManagementServer
from exporter.web_config import Access, WebConfig
from penstock.cli import health
from tests.support.certificates import authority, signed
from tests.support.commands import penstock
from tests.support.engines import FakeEngine
from tests.support.snapshots import engine_snapshot, flow, partition
from tests.support.web_config import with_users, write

# User code that is not there: a check of health looks at nothing that a pipeline is made of.
PIPELINE = "pipeline: {{name: p, sources: {{s: {{lines: {{path: gone.txt}}}}}}, processor: 'gone:Gone'}}\n"


def file_for(folder: Path, port: int, more: str = "") -> str:
    path = folder / "p.yaml"
    path.write_text(PIPELINE.format() + f"management: {{port: {port}{more}}}\n")
    return str(path)


def test_a_pipeline_that_is_ready_is_0_and_one_that_is_not_is_1_with_the_reason(tmp_path: Path) -> None:
    engine = FakeEngine(engine_snapshot(taken_monotonic_ns=2**62))
    with ManagementServer(engine, port=0) as server:
        code, out, _ = penstock("health", file_for(tmp_path, server.port))
        assert (code, out) == (0, f"http://127.0.0.1:{server.port} is ready: the engine is running\n")
        engine.told = engine_snapshot(state=EngineState.STARTING, taken_monotonic_ns=2**62)
        code, _, err = penstock("health", file_for(tmp_path, server.port))
        assert code == 1
        assert "is not ready: the engine is starting" in err
    code, _, err = penstock("health", file_for(tmp_path, server.port))
    assert code == 1
    assert "does not answer" in err


def test_what_is_the_matter_with_a_pipeline_that_is_ready_is_said_too(tmp_path: Path) -> None:
    slow = partition(1, flow=flow(throttled=True, reason="backlog 9 of 8"))
    engine = FakeEngine(engine_snapshot(partitions=(slow,), taken_monotonic_ns=2**62))
    with ManagementServer(engine, port=0) as server:
        _, out, _ = penstock("health", file_for(tmp_path, server.port))
    assert out.endswith(
        " is ready: the engine is running; throttled: writes to partition 1 are limited: backlog 9 of 8\n"
    )


def test_the_environment_counts_as_it_does_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ManagementServer(FakeEngine(engine_snapshot(taken_monotonic_ns=2**62)), port=0) as server:
        monkeypatch.setenv("PENSTOCK_MANAGEMENT_PORT", str(server.port))
        assert penstock("health", file_for(tmp_path, 1))[0] == 0


def test_tls_and_users_are_those_of_the_web_config(tmp_path: Path) -> None:
    ca = authority(tmp_path, "ca")
    signed(tmp_path, "server", ca)
    users = with_users(tmp_path, "alice").read_text()
    tls = "tls_server_config: {cert_file: server.pem, key_file: server.key"
    asks = f"client_auth_type: RequireAndVerifyClientCert, client_ca_file: {ca.cert}"
    engine = FakeEngine(engine_snapshot(taken_monotonic_ns=2**62))
    for text, said in (
        (tls + "}\n", "is ready: the engine is running"),
        (tls + "}\n" + users, "asks for a user"),
        (users, "asks for a user"),
        (f"{tls}, {asks}}}\n", "asks for a certificate"),
    ):
        access = Access(WebConfig(write(tmp_path / "web.yml", text)))
        with ManagementServer(engine, port=0, access=access) as server:
            code, out, err = penstock("health", file_for(tmp_path, server.port, ", webConfig: web.yml"))
        assert (code, err) == (0, ""), text
        assert said in out
        assert out.startswith("https:" if text.startswith("tls") else "http:")


def test_a_run_without_a_port_cannot_be_asked_and_is_not_called_ill(tmp_path: Path) -> None:
    assert penstock("health", file_for(tmp_path, 1, ", enabled: false"))[:2] == (
        0,
        "it runs without a management port; nothing more can be asked\n",
    )


@pytest.mark.parametrize(
    ("line", "port", "enabled"),
    [
        (["/usr/bin/python3", "/opt/penstock/bin/penstock", "run", "p.yaml"], 9700, True),
        (["python", "-m", "penstock", "run", "--port", "9800", "p.yaml"], 9800, True),
        (["penstock", "run", "p.yaml", "--no-management"], 9700, False),
        (["/opt/penstock/bin/python3", "/opt/penstock/bin/penstock", "demo", "--loop", "--port", "9900"], 9900, True),
        (["penstock", "demo"], 9600, True),
    ],
)
def test_what_runs_is_understood_by_its_command_line(tmp_path: Path, line: list[str], port: int, enabled: bool) -> None:
    file_for(tmp_path, 9700)
    running = health._understood(line, {}, tmp_path)
    assert running is not None
    assert running.management is not None
    assert (running.management.port, running.management.enabled) == (port, enabled)


@pytest.mark.parametrize(
    "line",
    [
        ["penstock", "health"],
        ["penstock"],
        ["vim", "penstock"],
        [],
        ["python", "-m", "pytest", "run"],
        ["penstock", "check", "run"],
    ],
)
def test_what_is_no_run_is_not_taken_for_one(tmp_path: Path, line: list[str]) -> None:
    assert health._understood(line, {}, tmp_path) is None


def test_without_a_file_it_is_the_one_that_runs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PROCESSES", tmp_path / "proc")
    code, _, err = penstock("health")
    assert code == 1
    assert "no pipeline runs here" in err
    process = tmp_path / "proc" / "7"
    process.mkdir(parents=True)
    (process / "cwd").symlink_to(tmp_path)
    with ManagementServer(FakeEngine(engine_snapshot(taken_monotonic_ns=2**62)), port=0) as server:
        file_for(tmp_path, 1)
        (process / "cmdline").write_bytes(b"python\0/bin/penstock\0run\0p.yaml\0")
        (process / "environ").write_bytes(f"PENSTOCK_MANAGEMENT_PORT={server.port}\0X=1\0".encode())
        assert penstock("health")[0] == 0
        (tmp_path / "proc" / "8").mkdir()
        for name in ("cmdline", "environ"):
            (tmp_path / "proc" / "8" / name).write_bytes((process / name).read_bytes())
        os.symlink(tmp_path, tmp_path / "proc" / "8" / "cwd")
        code, _, err = penstock("health")
        assert code == 2
        assert "2 pipelines run here" in err
