"""The files of `deploy/` that run a pipeline of one's own: what their readers take, with no right more than needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from penstock.cli.main import commands
from tests.support.kubernetes import validated

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "penstock@.service"
KUBERNETES: dict[str, Any] = {
    found["kind"]: found
    for found in yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "penstock.yaml").read_text(encoding="utf-8"))
}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    there = tmp_path / "penstock@.service"
    there.write_text(UNIT.read_text().replace("/opt/penstock/bin/penstock", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", there], capture_output=True, text=True, check=False, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if "penstock@" in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_a_service_may_do_little_beyond_its_own_folder(tmp_path: Path) -> None:
    # 0 is nothing at all, 10 is everything; its network and its Python are what is left.
    there = tmp_path / "penstock@.service"
    there.write_text(UNIT.read_text())
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", there],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_the_pipeline_on_kubernetes_is_one_that_runs(tmp_path: Path) -> None:
    (name,) = KUBERNETES["ConfigMap"]["data"]
    (tmp_path / name).write_text(KUBERNETES["ConfigMap"]["data"][name])
    done = CliRunner().invoke(commands, ["check", str(tmp_path / name)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (container,) = KUBERNETES["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", f"/etc/penstock/{name}"]


def test_a_pod_has_the_least_rights_and_there_is_one_of_it() -> None:
    spec = KUBERNETES["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["replicas"] == 1, "a data folder belongs to one process"
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"], "variables of other services may begin with PENSTOCK_"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["terminationGracePeriodSeconds"] > 8, "engine.drainTimeout"
    assert container["livenessProbe"]["httpGet"]["path"] == "/actuator/health/liveness"
    assert container["readinessProbe"]["httpGet"]["path"] == "/actuator/health/readiness"


@pytest.mark.parametrize("kind", KUBERNETES)
def test_kubernetes_knows_each_object(kind: str) -> None:
    validated(KUBERNETES[kind])
