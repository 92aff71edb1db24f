"""The chart: what Helm makes of it is what Kubernetes knows, and runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import penstock
from tests.support.kubernetes import CHART, ROOT, helm, rendered, template, validated

ALL = (
    "--set", "dashboards.enabled=true,monitoring.podMonitor.enabled=true,monitoring.prometheusRule.enabled=true",
    "--set", "secrets.PENSTOCK_PIPELINE_EXPORTERS_OUT_POSTGRES_URL=postgresql://db/orders",
    "--set-string", "code.orders\\.py=def parse(line):\n    return line\n",
)  # fmt: skip

SHARED = (
    *("--set", "replicas=3,environment.LANG=C"),
    *(
        "--set-json",
        'settings.data={"storage":"kafka","path":"/data/log","kafka":{"bootstrapServers":"kafka.invalid:9092"}}',
    ),
)


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in found if one["kind"] == kind]


@pytest.mark.parametrize("arguments", [(), ALL], ids=["as it is", "with all"])
def test_kubernetes_knows_each_object(arguments: tuple[str, ...]) -> None:
    for document in rendered(*arguments):
        validated(document)


def test_helm_finds_nothing_to_say_against_the_chart() -> None:
    done = helm("lint", str(CHART), "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


def test_as_it_is_there_are_no_objects_of_operators_that_may_not_be_there() -> None:
    kinds = sorted(found["kind"] for found in rendered())
    assert kinds == ["ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"]


def test_the_pipeline_is_one_that_runs(tmp_path: Path) -> None:
    (found,) = of_kind(rendered(), "ConfigMap")
    (tmp_path / "pipeline.yaml").write_text(found["data"]["pipeline.yaml"])
    code, _, err = penstock("check", str(tmp_path / "pipeline.yaml"))
    assert (code, err) == (0, "")
    (stateful,) = of_kind(rendered(), "StatefulSet")
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", "/etc/penstock/pipeline.yaml"]


def test_the_pod_is_that_of_the_plain_file() -> None:
    """Who changes one changes the other."""
    plain = next(
        found
        for found in yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "penstock.yaml").read_text(encoding="utf-8"))
        if found["kind"] == "StatefulSet"
    )["spec"]["template"]["spec"]
    ours = of_kind(rendered(), "StatefulSet")[0]["spec"]["template"]["spec"]
    for spec in (plain, ours):
        (container,) = spec["containers"]
        del container["args"], container["image"]
        container.pop("imagePullPolicy", None)
    assert ours == plain


def test_code_and_secrets_reach_the_pod() -> None:
    found = rendered(*ALL)
    (secret,) = of_kind(found, "Secret")
    assert secret["stringData"] == {"PENSTOCK_PIPELINE_EXPORTERS_OUT_POSTGRES_URL": "postgresql://db/orders"}
    (container,) = of_kind(found, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    files = next(one for one in of_kind(found, "ConfigMap") if "pipeline.yaml" in one["data"])["data"]
    assert files["orders.py"] == "def parse(line):\n    return line\n"


def test_a_secret_of_ones_own_is_taken_and_none_made() -> None:
    found = rendered("--set", "existingSecret=mine")
    assert not of_kind(found, "Secret")
    (container,) = of_kind(found, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "mine"}}]


def test_each_board_and_each_rule_is_there_as_it_was_generated() -> None:
    found = rendered(*ALL)
    generated = ROOT / "dashboards" / "generated"
    boards = {path.name: json.loads(path.read_text()) for path in (generated / "grafana").glob("*.json")}
    maps = [one for one in of_kind(found, "ConfigMap") if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert {name: json.loads(text) for one in maps for name, text in one["data"].items()} == boards
    assert all(len(json.dumps(one)) < 1_000_000 for one in maps), "a ConfigMap holds no more"
    (rules,) = of_kind(found, "PrometheusRule")
    written = [yaml.safe_load(path.read_text())["groups"] for path in sorted((generated / "prometheus").glob("*.yml"))]
    assert rules["spec"]["groups"] == [group for groups in written for group in groups]


def test_more_replicas_than_one_take_a_log_in_kafka() -> None:
    done = template("--set", "replicas=3")
    assert done.returncode != 0
    assert "replicas must be 1, for a data folder belongs to one process" in done.stderr
    assert of_kind(rendered(*SHARED), "StatefulSet")[0]["spec"]["replicas"] == 3


def test_each_pod_of_a_shared_log_is_an_instance_of_its_own_that_the_others_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(*SHARED)
    for document in found:
        validated(document)
    stateful, service = of_kind(found, "StatefulSet")[0], of_kind(found, "Service")[0]
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    name, url = container["env"][:2]
    assert name == {
        "name": "PENSTOCK_DATA_KAFKA_INSTANCE",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    }
    assert service["spec"]["clusterIP"] == "None", "each pod has a name there"
    assert url["value"] == f"http://$({name['name']}).{stateful['spec']['serviceName']}:8600"
    assert {"name": "LANG", "value": "C"} in container["env"]
    settings = next(one["data"]["pipeline.yaml"] for one in found if one["kind"] == "ConfigMap")
    (tmp_path / "pipeline.yaml").write_text(settings)
    said = {name["name"]: "orders-0", url["name"]: "http://orders-0.orders:8600"}
    for variable, text in said.items():
        monkeypatch.setenv(variable, text)
    # Both are known, and it is only that no such broker is there.
    code, _, err = penstock("check", str(tmp_path / "pipeline.yaml"))
    assert code == 2
    assert "kafka.invalid" in err, err


def test_a_changed_file_starts_the_pod_anew() -> None:
    def annotation(*arguments: str) -> str:
        (found,) = of_kind(rendered(*arguments), "StatefulSet")
        said: str = found["spec"]["template"]["metadata"]["annotations"]["penstock/settings"]
        return said

    assert annotation() != annotation("--set", "settings.pipeline.partitions=8")
    assert annotation() == annotation("--set", "replicas=1")
