"""Kubernetes' own schemas, and Helm: `make helm` fetches them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "penstock"
_VERSION = "1.30"


def validated(document: dict[str, Any]) -> None:
    """Raises where Kubernetes does not know the object so; kinds of others' it does not know at all."""
    schemas = pytest.importorskip("kubernetes_validate", reason="make helm fetches the schemas of Kubernetes")
    if "monitoring.coreos.com" not in document["apiVersion"]:
        schemas.validate(document, _VERSION, strict=True)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Skips the test where Helm is not here."""
    found = shutil.which("helm") or shutil.which("helm", path=str(ROOT / ".helm"))
    if found is None:
        pytest.skip("helm is not here; make helm fetches it")
    return subprocess.run([found, *arguments], capture_output=True, text=True, check=False, timeout=60)


def template(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One that `go install` has built takes the cluster for an old one, unless it is told."""
    return helm("template", "orders", str(CHART), "--kube-version", _VERSION, *arguments)


def rendered(*arguments: str) -> list[dict[str, Any]]:
    """The objects that the chart makes with these values."""
    done = template(*arguments)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]
