"""Rules: promtool accepts them, each alert fires, does not fire and ends, recorded series are exact."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.build import GENERATED
from dashboards.places import RUNBOOKS
from dashboards.rules import ALERT_GROUPS, RECORDING_GROUPS, Alert, RecordingRule
from exporter.catalogue import Kind, metric_of_sample
from tests.dashboards import promql_text
from tests.dashboards.alert_cases import CASES, EXPORTER, PARTITION, PIPELINE, SPARE, TARGET, Case
from tests.dashboards.generated import DASHBOARDS, opened
from tests.support.programs import program

ROOT = Path(__file__).parents[2]
FILES = sorted((GENERATED / "prometheus").glob("*.yml"))
ALERTS = [rule for group in ALERT_GROUPS for rule in group.rules if isinstance(rule, Alert)]
RECORDED = {rule.name: rule for group in RECORDING_GROUPS for rule in group.rules if isinstance(rule, RecordingRule)}
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=[f"{alert.name}-{alert.severity}" for alert in ALERTS])
EACH_EXPRESSION = pytest.mark.parametrize(
    "expression", [rule.expression.text for rule in (*ALERTS, *RECORDED.values())]
)


def promtool(*arguments: str) -> None:
    ran = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def run_rules(tmp_path: Path, *tests: dict[str, Any]) -> None:
    """Runs promtool over the generated rules."""
    file = tmp_path / "tests.yml"
    file.write_text(
        json.dumps({"rule_files": [str(path) for path in FILES], "evaluation_interval": "1m", "tests": tests})
    )
    promtool("test", "rules", str(file))


def story(values: dict[str, str] | Any, **checks: Any) -> dict[str, Any]:
    series = [{"series": name, "values": text} for name, text in values.items()]
    return {"interval": "1m", "input_series": series, **checks}


def firing(alert: str, severity: str, minute: int, number: int) -> dict[str, Any]:
    """That so many alerts of that name fire at that minute."""
    expression = f'count(ALERTS{{alertname="{alert}", severity="{severity}", alertstate="firing"}}) or vector(0)'
    return {"expr": expression, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": number}]}


@pytest.mark.real
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_promtool_accepts_the_rules(file: Path) -> None:
    promtool("check", "rules", str(file))


def test_every_alert_has_a_story() -> None:
    assert {(case.alert, case.severity) for case in CASES} == {(alert.name, str(alert.severity)) for alert in ALERTS}


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=[f"{case.alert}-{case.severity}" for case in CASES])
def test_an_alert_is_silent_fires_and_ends(case: Case, tmp_path: Path) -> None:
    checks = [
        firing(case.alert, case.severity, case.silent, 0),
        firing(case.alert, case.severity, case.fires, 1),
        firing(case.alert, case.severity, case.ended, 0),
    ]
    run_rules(tmp_path, story(case.values, promql_expr_test=checks))


@pytest.mark.real
def test_an_alert_says_its_numbers_in_words(tmp_path: Path) -> None:
    stalled = next(case for case in CASES if case.alert == "PenstockExporterStalled")
    said = {
        "summary": "Exporter file stands still on partition 1",
        "description": "file has 2k records before it and has exported none of partition 1 of flights for 5 minutes. "
        "The backlog grows up to the acceptable one, then writers are throttled.",
        "runbook_url": "docs/runbooks/PenstockExporterStalled.md",
        "dashboard_url": "http://127.0.0.1:3000/d/penstock-exporting"
        "?var-pipeline=flights&var-partition=1&var-exporter=file",
    }
    labels = dict(re.findall(r'(\w+)="([^"]*)"', EXPORTER))
    # Whoever has the partition.
    del labels["instance"]
    expected = {"exp_labels": {**labels, "severity": "ticket"}, "exp_annotations": said}
    check = {"eval_time": "50m", "alertname": "PenstockExporterStalled", "exp_alerts": [expected]}
    run_rules(tmp_path, story(stalled.values, alert_rule_test=[check]))


@pytest.mark.real
def test_a_paused_exporter_is_not_said_to_stand_still(tmp_path: Path) -> None:
    stalled = next(case for case in CASES if case.alert == "PenstockExporterStalled")
    paused = {**stalled.values, f'penstock_exporter_state{{{EXPORTER}, state="paused"}}': "1x130"}
    run_rules(tmp_path, story(paused, promql_expr_test=[firing("PenstockExporterStalled", "ticket", 50, 0)]))


@pytest.mark.real
def test_of_a_bridge_without_an_answer_is_said_that_it_is_blind_and_nothing_else(tmp_path: Path) -> None:
    of_bridge, of_job = PIPELINE.replace("flights", "flink"), PIPELINE.replace("flights", "pushed-back")
    build = 'version="1", python_version="3.11", gil="enabled"'
    world = {
        f"up{{{TARGET}}}": "1x500",
        f"penstock_build_info{{{of_bridge}, {build}}}": "1x500",
        f'penstock_bridged_info{{{of_bridge}, bridge="flink", id="", version=""}}': "1x500",
        f"penstock_bridge_up{{{of_bridge}}}": "1x30 0x470",
        f'penstock_condition{{{of_bridge}, condition="failed"}}': "0x30 1x470",
        # A job is gone with the look that fails.
        f"penstock_build_info{{{of_job}, {build}}}": "1x30 stale",
        f'penstock_bridged_info{{{of_job}, bridge="flink", id="ab", version="1.20.1"}}': "1x30 stale",
    }
    checks = [
        check
        for minute in (35, 60, 400)
        for check in (firing("PenstockBridgeBlind", "page", minute, 1), others(minute, "PenstockBridgeBlind"))
    ]
    run_rules(tmp_path, story(world, promql_expr_test=checks))


@pytest.mark.real
def test_a_job_that_was_cancelled_is_not_down_and_a_bridge_that_is_gone_is(tmp_path: Path) -> None:
    of_bridge, of_job = PIPELINE.replace("flights", "flink"), PIPELINE.replace("flights", "pushed-back")
    build = 'version="1", python_version="3.11", gil="enabled"'
    world = {
        f"up{{{TARGET}}}": "1x60 0x400",
        f"penstock_build_info{{{of_bridge}, {build}}}": "1x60 stale",
        f'penstock_bridged_info{{{of_bridge}, bridge="flink", id="", version="1.20.1"}}': "1x60 stale",
        f"penstock_bridge_up{{{of_bridge}}}": "1x60 stale",
        f"penstock_build_info{{{of_job}, {build}}}": "1x30 stale",
        f'penstock_bridged_info{{{of_job}, bridge="flink", id="ab", version="1.20.1"}}': "1x30 stale",
    }
    checks = [
        firing("PenstockDown", "page", minute, number) for minute, number in ((40, 0), (59, 0), (64, 1), (400, 1))
    ]
    run_rules(tmp_path, story(world, promql_expr_test=checks))


# What says nothing of an engine, or just that it is away.
_OF_ENGINES = ("PenstockDown", "PenstockMissing")
_HEALTHY_MINUTES = 2000
_INFO = f'penstock_build_info{{{PIPELINE}, version="1", python_version="3.11", gil="enabled"}}'


def healthy(values: str) -> str | None:
    """What a series begins with, in promtool's notation, gone on with for long; None for one that is not there."""
    begins = re.match(r"([^_ ]+)x\d+", values)
    return f"{begins[1]}x{_HEALTHY_MINUTES}" if begins else None


def healthy_world() -> dict[str, str]:
    """All series of all stories of one engine, as they are while all is well."""
    stories = {name: text for case in CASES for name, text in case.values.items() if SPARE not in name}
    world = {name: found for name, text in stories.items() if (found := healthy(text)) is not None}
    # An exporter that exports has nothing before it.
    backlog = {f"penstock_exporter_backlog_records{{{EXPORTER}}}": f"0x{_HEALTHY_MINUTES}"}
    return {**world, **backlog, _INFO: f"1x{_HEALTHY_MINUTES}", f"up{{{TARGET}}}": f"1x{_HEALTHY_MINUTES}"}


def until(values: str, minute: int) -> str:
    return re.sub(r"x\d+$", f"x{minute}", values)


def others(minute: int, *names: str) -> dict[str, Any]:
    """That no alert fires besides those of these names."""
    expression = f'count(ALERTS{{alertstate="firing", alertname!~"{"|".join(names)}"}}) or vector(0)'
    return {"expr": expression, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": 0}]}


@pytest.mark.real
def test_while_all_is_well_nothing_fires(tmp_path: Path) -> None:
    checks = [others(minute, "none") for minute in (30, 100, 500, 1600)]
    run_rules(tmp_path, story(healthy_world(), promql_expr_test=checks))


@pytest.mark.real
def test_of_a_dead_engine_is_said_that_it_is_down_and_nothing_else(tmp_path: Path) -> None:
    world = {name: f"{until(values, 30)} stale" for name, values in healthy_world().items()}
    world[f"up{{{TARGET}}}"] = "1x30 0x500"
    checks = [
        check
        for minute in (35, 60, 120, 400)
        for check in (firing("PenstockDown", "page", minute, 1), others(minute, *_OF_ENGINES))
    ]
    run_rules(tmp_path, story(world, promql_expr_test=checks))


@pytest.mark.real
def test_an_engine_that_is_no_longer_scraped_at_all_is_down_too(tmp_path: Path) -> None:
    other = _INFO.replace("flights", "orders")
    world = {_INFO: "1x30 stale", other: "1x500", f"up{{{TARGET}}}": "1x500"}
    checks = [firing("PenstockDown", "page", minute, number) for minute, number in ((30, 0), (33, 1), (400, 1))]
    run_rules(tmp_path, story(world, promql_expr_test=checks))


@pytest.mark.real
def test_an_engine_that_moved_to_another_address_is_not_down(tmp_path: Path) -> None:
    world = {_INFO: "1x30 stale", _INFO.replace(":9600", ":9700"): "_x30 1x500"}
    run_rules(tmp_path, story(world, promql_expr_test=[firing("PenstockDown", "page", 60, 0)]))


@pytest.mark.real
def test_of_a_paused_exporter_is_said_that_it_is_paused_and_nothing_else(tmp_path: Path) -> None:
    world = {
        **healthy_world(),
        f'penstock_exporter_pause_info{{{EXPORTER}, by="alice"}}': "_x30 1x500",
        f'penstock_exporter_state{{{EXPORTER}, state="paused"}}': "0x30 1x500",
        f"penstock_exporter_backlog_records{{{EXPORTER}}}": "0x30 0+1000x500",
        f'penstock_exported_records_total{{{EXPORTER}, action="exported"}}': "0+1000x30 30000x500",
    }
    checks = [others(minute, "PenstockExporterPaused") for minute in (40, 80, 120, 400)]
    checks.append(firing("PenstockExporterPaused", "ticket", 120, 1))
    run_rules(tmp_path, story(world, promql_expr_test=checks))


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=[f"{case.alert}-{case.severity}" for case in CASES])
def test_of_two_pipelines_the_one_in_trouble_is_named_alone(case: Case, tmp_path: Path) -> None:
    if case.alert == "PenstockMissing":
        # It is for when there is none at all; one of two that is missing is down.
        return
    beside = {
        name.replace('pipeline="flights"', 'pipeline="orders"').replace("engine:9600", "engine:9700"): values
        for name, values in healthy_world().items()
    }
    world = {**beside, **case.values}
    if case.alert != "PenstockDown":
        world |= {_INFO: f"1x{_HEALTHY_MINUTES}", f"up{{{TARGET}}}": f"1x{_HEALTHY_MINUTES}"}
    checks = [
        firing(case.alert, case.severity, case.silent, 0),
        firing(case.alert, case.severity, case.fires, 1),
        others(case.fires, *{other.alert for other in CASES if set(other.values) & set(case.values)}),
    ]
    run_rules(tmp_path, story(world, promql_expr_test=checks))


@pytest.mark.real
def test_a_burst_of_a_minute_wakes_nobody_up(tmp_path: Path) -> None:
    throttled = {f"penstock_throttled_seconds_total{{{PARTITION}}}": "0x30 60x500"}
    checks = [
        firing("PenstockThrottledTooMuch", severity, minute, 0)
        for severity in ("page", "ticket")
        for minute in (31, 32, 40, 60, 120)
    ]
    run_rules(tmp_path, story(throttled, promql_expr_test=checks))


@pytest.mark.real
def test_recorded_series_are_exact(tmp_path: Path) -> None:
    of_2 = PARTITION.replace('partition="1"', 'partition="2"')
    values = {
        f"penstock_throttled{{{PARTITION}}}": "0 0 1 1 0",
        f"penstock_throttled{{{of_2}}}": "0 0 0 1 0",
        f"penstock_exporting_backlog_records{{{PARTITION}}}": "10x5",
        f"penstock_exporting_backlog_records{{{of_2}}}": "32x5",
        f"penstock_oldest_unexported_record_timestamp_seconds{{{PARTITION}}}": "0+60x20",
        f"penstock_oldest_unexported_record_timestamp_seconds{{{of_2}}}": "0x20",
        f"penstock_throttled_seconds_total{{{PARTITION}}}": "0+60x20",
        f"penstock_throttled_seconds_total{{{of_2}}}": "0x20",
        f'penstock_writes_total{{{PARTITION}, source="user_command", outcome="accepted"}}': "0+540x20",
        f'penstock_writes_total{{{PARTITION}, source="user_command", outcome="write_rate_limit_exhausted"}}': "0+60x20",
    }
    pipeline = 'job="penstock", pipeline="flights"'

    def is_(name: str, minute: int, *samples: tuple[str, float]) -> dict[str, Any]:
        expected = [{"labels": f"{name}{{{labels}}}", "value": value} for labels, value in samples]
        return {"expr": name, "eval_time": f"{minute}m", "exp_samples": expected}

    one, two = f'{pipeline}, partition="1"', f'{pipeline}, partition="2"'
    checks = [
        is_("partition:penstock_throttled:max", 2, (one, 1), (two, 0)),
        is_("partition:penstock_throttled:max", 3, (one, 1), (two, 1)),
        is_("pipeline:penstock_throttled:max", 1, (pipeline, 0)),
        is_("pipeline:penstock_throttled:max", 2, (pipeline, 1)),
        is_("pipeline:penstock_throttled:max", 4, (pipeline, 0)),
        is_("pipeline:penstock_exporting_backlog_records:sum", 3, (pipeline, 42)),
        is_("pipeline:penstock_oldest_unexported_record_age_seconds:max", 4, (pipeline, 240)),
        is_("pipeline:penstock_late:bool", 5, (pipeline, 0)),
        is_("pipeline:penstock_late:bool", 6, (pipeline, 1)),
        is_("pipeline:penstock_writes:rate5m", 10, (pipeline, 10)),
        is_("pipeline:penstock_writes_refused:rate5m", 10, (pipeline, 1)),
        is_("pipeline:penstock_throttled_seconds:rate5m", 10, (pipeline, 0.5)),
    ]
    run_rules(tmp_path, story(values, promql_expr_test=checks))


@EACH_EXPRESSION
def test_every_name_and_label_of_a_rule_exists(expression: str) -> None:
    known = {"job", "instance", "le"}
    for seen in promql_text.selectors(expression):
        if seen.name == "up":
            continue
        if seen.name in RECORDED:
            known |= set(RECORDED[seen.name].expression.labels)
            continue
        metric = metric_of_sample(seen.name)
        known |= set(metric.label_names)
        for matcher in seen.matchers:
            (label,) = (label for label in metric.labels if label.name == matcher.label)
            assert matcher.value in (label.values or ())
        counts = metric.kind in (Kind.COUNTER, Kind.HISTOGRAM)
        assert counts == (seen.function in promql_text.RATES), seen
    assert promql_text.label_lists(expression) <= known


@EACH_ALERT
def test_an_alert_speaks_only_of_labels_that_it_has(alert: Alert) -> None:
    text = f"{alert.summary} {alert.description}"
    used = set(re.findall(r"\$labels\.(\w+)", text)) | set(alert.drill_down)
    assert used <= set(alert.expression.labels)


@EACH_ALERT
def test_an_alert_writes_no_raw_numbers(alert: Alert) -> None:
    text = f"{alert.summary} {alert.description}"
    assert re.findall(r"\$value(?! \| humanize)", text) == []


@EACH_ALERT
def test_an_alert_leads_to_a_board_of_the_bundle_and_to_its_runbook(alert: Alert) -> None:
    assert alert.board in DASHBOARDS
    assert (ROOT / RUNBOOKS / f"{alert.name}.md").is_file()


def test_the_files_hold_what_the_code_says_and_every_alert_has_all_it_needs() -> None:
    groups = [group for file in FILES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == len(ALERTS)
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert alert["for"]
        assert alert["keep_firing_for"]
    recorded = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    assert sorted(recorded) == sorted(RECORDED)


@pytest.mark.parametrize("page", sorted((ROOT / RUNBOOKS).glob("Penstock*.md")), ids=lambda page: page.stem)
def test_a_runbook_belongs_to_an_alert_and_says_what_is_meant_seen_done_and_undone(page: Path) -> None:
    assert page.stem in {alert.name for alert in ALERTS}
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["What it means", "What to look at", "What to do", "How to undo"]


@pytest.mark.parametrize("page", sorted((ROOT / RUNBOOKS).glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_names_only_metrics_and_pages_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bpenstock_\w+", text)):
        metric_of_sample(name)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("page", sorted((ROOT / RUNBOOKS).glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_names_only_boards_and_panels_that_exist(page: Path) -> None:
    boards = {dashboard["title"].removeprefix("Penstock: ") for dashboard in DASHBOARDS.values()}
    panels = {panel["title"] for dashboard in DASHBOARDS.values() for panel in opened(dashboard)}
    # A page of Prometheus itself.
    known = boards | panels | {"Targets"}
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?<!\*)\*(?![*\s])([^*\n]+)\*(?!\*)", text)
    assert set(named) <= known
