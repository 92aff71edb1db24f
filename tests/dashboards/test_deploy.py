"""The compose demo: files that name one another agree, and nothing in them is looser than it has to be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.throttling import ANNOTATION_STEP
from tests.dashboards.generated import DASHBOARDS
from tests.dashboards.test_rules import promtool

ROOT = Path(__file__).parents[2]


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


COMPOSE = read("docker-compose.yml")
SERVICES: dict[str, Any] = COMPOSE["services"]
PROMETHEUS = read("deploy/prometheus/prometheus.yml")
SOURCES = read("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
PROVIDERS = read("deploy/grafana/provisioning/dashboards/penstock.yml")["providers"]
# What `docker compose up` starts; the others are asked for by their profile.
DEMO = [name for name, service in SERVICES.items() if "profiles" not in service]
EACH_SERVICE = pytest.mark.parametrize("name", SERVICES)


def mounts(service: str) -> dict[str, Path]:
    """Where in the container which file or folder of the repository stands."""
    found = {}
    for volume in SERVICES[service].get("volumes", []):
        source, target, mode = volume.split(":")
        assert mode == "ro"
        found[target] = ROOT / source
    return found


def test_the_demo_is_the_engine_prometheus_and_grafana() -> None:
    assert set(DEMO) == {"engine", "prometheus", "grafana"}
    assert {name: SERVICES[name]["profiles"] for name in set(SERVICES) - set(DEMO)} == {"kafka": ["kafka"]}
    assert SERVICES["engine"]["command"][:2] == ["demo", "--loop"]


def test_the_file_is_one_that_compose_1_29_reads() -> None:
    # The old command knows no file without a version but this shape, and none of the newer keys.
    assert set(COMPOSE) == {"services"}


@pytest.mark.parametrize("name", ["prometheus", "grafana", "kafka"])
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_the_image_of_the_engine_is_built_on_a_pinned_one_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert all(re.search(r":\d+\.\d+\.\d+-", line) for line in lines if line.startswith("FROM "))
    assert [line for line in lines if line.startswith("USER ")] == ["USER penstock"]
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    # Both would need BuildKit.
    assert not any(line.startswith("# syntax=") or "--mount=" in line for line in lines)


@EACH_SERVICE
def test_a_port_is_open_on_this_machine_only(name: str) -> None:
    assert bool(SERVICES[name].get("ports")) is (name in DEMO)
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", DEMO)
def test_a_service_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service.get("read_only", False) is (name in DEMO)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_left_behind() -> None:
    assert "volumes" not in COMPOSE
    assert all(volume.startswith("./") for service in SERVICES.values() for volume in service.get("volumes", []))


def test_each_waits_for_the_health_of_the_one_before_it() -> None:
    assert SERVICES["prometheus"]["depends_on"] == {"engine": {"condition": "service_healthy"}}
    assert SERVICES["grafana"]["depends_on"] == {"prometheus": {"condition": "service_healthy"}}
    assert "/-/ready" in SERVICES["prometheus"]["healthcheck"]["test"][-1]
    assert "/api/health" in SERVICES["grafana"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_everything_that_is_mounted_exists(name: str) -> None:
    assert mounts(name)
    assert all(source.exists() for source in mounts(name).values())


def test_prometheus_asks_the_engine_by_a_name_that_it_answers_to() -> None:
    (job,) = (job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "penstock")
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in SERVICES
    assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]
    command = SERVICES[host]["command"]
    assert command[command.index("--allow-host") + 1] == host
    assert command[command.index("--host") + 1] == "0.0.0.0"


def test_prometheus_finds_its_rules() -> None:
    (pattern,) = PROMETHEUS["rule_files"]
    folder, name = pattern.rsplit("/", 1)
    assert {path.name for path in mounts("prometheus")[folder].glob(name)} == {
        "penstock.recording.yml",
        "penstock.alerts.yml",
    }


@pytest.mark.real
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    rules = mounts("prometheus")["/etc/prometheus/rules"]
    config = tmp_path / "prometheus.yml"
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    config.write_text(text.replace("/etc/prometheus/rules", str(rules)), encoding="utf-8")
    promtool("check", "config", str(config))


def test_grafana_knows_the_interval_at_which_prometheus_scrapes() -> None:
    (source,) = SOURCES
    interval = PROMETHEUS["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval == ANNOTATION_STEP
    assert PROMETHEUS["global"]["evaluation_interval"] == interval
    assert source["jsonData"]["httpMethod"] == "POST"


def test_the_data_source_is_the_default_one_at_the_address_of_prometheus() -> None:
    (source,) = SOURCES
    assert (source["isDefault"], source["editable"], source["type"]) == (True, False, "prometheus")
    assert source["uid"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert host in SERVICES
    assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]


def test_grafana_finds_the_boards_and_opens_on_the_overview() -> None:
    (provider,) = PROVIDERS
    boards = mounts("grafana")[provider["options"]["path"]]
    assert {path.stem for path in boards.rglob("*.json")} == set(DASHBOARDS)
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert home.name == "penstock-overview.json"
    assert mounts("grafana")["/etc/grafana/provisioning"] == ROOT / "deploy/grafana/provisioning"


def test_boards_are_kept_as_the_files_say() -> None:
    (provider,) = PROVIDERS
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True
    assert provider["options"]["foldersFromFilesStructure"] is True
    assert provider["updateIntervalSeconds"] > 0


def test_whoever_reaches_grafana_may_look_and_nobody_may_change() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert not any("PASSWORD" in name for name in environment)
    assert environment["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
    assert environment["GF_ANALYTICS_CHECK_FOR_UPDATES"] == "false"
