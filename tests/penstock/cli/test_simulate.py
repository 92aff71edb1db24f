"""`penstock simulate`: what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.commands import penstock

FILE = """\
flowControl:
  write:
    enabled: true
    limit: 4000
    throttling: {enabled: true, acceptableBacklog: 100000}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.yaml"
    path.write_text(FILE)
    return path


def simulate(file: Path, *arguments: str) -> tuple[int, str, str]:
    return penstock("simulate", str(file), *arguments)


def test_it_says_how_high_the_backlog_gets_and_when_it_settles(file: Path) -> None:
    code, out, err = simulate(file, "--offered", "3000", "--capacity", "3500,10m:800")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{file}: limit 4,000/s, proportional around 100,000, minimum 100/s, each 15s"
    assert lines[1] == "one partition for 1h: offered 3000/s; exporter 3500/s, from 10m 800/s"
    assert lines[3].split() == ["proportional", "(as", "set)", "adaptive"]
    rows = {line[:30].strip(): line[30:].split() for line in lines[4:]}
    # The documented formula overshoots; the other algorithm does not.
    assert rows["against the acceptable one"][0] == "+95%"
    assert rows["against the acceptable one"][1] in ("-2%", "-3%", "-1%")
    assert rows["settled after"][1] == "0s"
    assert rows["throttled"] == ["82%", "82%"]


def test_json_has_the_figures_and_the_course_of_each_algorithm(file: Path) -> None:
    code, out, _ = simulate(file, "--capacity", "1000", "--for", "20m", "--json")
    assert code == 0
    answer = json.loads(out)
    assert (answer["seconds"], answer["asSet"], list(answer["results"])) == (
        1200,
        "proportional",
        ["proportional", "adaptive"],
    )
    told = answer["results"]["adaptive"]
    # Without a load of its own as much is offered as the limit lets in.
    assert told["offeredRecords"] == 4000 * 1200
    assert told["writtenRecords"] == told["exportedRecords"] + told["backlogAtEnd"]
    assert 0 < told["throttledShare"] < 1
    assert told["peakBacklog"] == pytest.approx((1 + told["peakOvershoot"]) * 100_000)
    assert len(told["course"]) == 600
    assert told["course"][-1]["throttled"] is True


def test_other_values_than_the_files_can_be_tried(file: Path) -> None:
    change = ("--set", "write.throttling.acceptableBacklog=20000", "--set", "write.throttling.algorithm=adaptive")
    code, out, _ = simulate(file, "--capacity", "1000", *change)
    assert code == 0
    assert "adaptive around 20,000" in out
    assert "adaptive (as set)" in out


def test_without_throttling_the_backlog_only_grows(file: Path) -> None:
    _, out, _ = simulate(file, "--capacity", "1000", "--set", "write.throttling.enabled=false", "--for", "100s")
    assert "no throttling (as set)" in out
    assert "never throttled" in out


def test_the_file_may_be_one_written_for_zeebe_and_the_environment_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "zeebe.yaml"
    file.write_text("zeebe: {broker: {flowControl: {write: {enabled: true, limit: 10}}, network: {host: x}}}\n")
    monkeypatch.setenv("ZEEBE_BROKER_FLOWCONTROL_WRITE_LIMIT", "77")
    code, out, _ = simulate(file, "--capacity", "1000", "--for", "10s")
    assert code == 0
    assert "limit 77/s" in out


def test_the_plot_is_an_svg_with_a_band_where_writes_are_throttled(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "plot.svg"
    simulate(file, "--offered", "4000,15m:0", "--capacity", "1000", "--plot", str(target))
    svg = ElementTree.fromstring(target.read_text())
    text = " ".join(element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text"))
    for word in ("limit 4,000/s", "offered 4000/s, from 15m 0/s", "backlog", "acceptable", "write limit", "30m"):
        assert word in text
    bands = [e for e in svg.iter("{http://www.w3.org/2000/svg}rect") if e.get("fill-opacity") == "0.28"]
    # One episode, in both charts, that neither begins nor ends with the hour.
    assert len(bands) == 2
    left, width = float(bands[0].get("x", 0)), float(bands[0].get("width", 0))
    assert left > 86
    assert left + width < 960 - 18 - 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--capacity'"),
        (["--capacity", "soon"], "--capacity: 'soon' is no load and no file; write a rate (4000), steps"),
        (["--capacity", "5", "--offered", "-1"], "--offered: '-1' is no load and no file"),
        (["--capacity", "10,20"], "--capacity: '20' needs its time in front, such as 10m:20"),
        (["--capacity", "5s:10"], "the first rate of '5s:10' must hold from the beginning on"),
        (["--capacity", "10,5m:20,5m:30"], "times must rise, 300 s does not come after 300 s"),
        (["--capacity", "10,5q:20"], "'5q:20': '5q' is no duration"),
        (["--capacity", "2e99"], "a rate must lie between 0 and 1000000000"),
        (["--capacity", "10", "--for", "soon"], "--for: 'soon' is no duration"),
        (["--capacity", "10", "--for", "0s"], "--for must lie between 1 s and 7 d, not 0 s"),
        (["--capacity", "10,2h:20"], "--for: the loads change after the simulation has ended (7200 s)"),
        (["--capacity", "10", "--set", "write.limit"], "'write.limit' must be a key below flowControl and a value"),
        (["--capacity", "10", "--set", "write.limit=0"], "--set:1: flowControl.write.limit must be greater than 0"),
        (["--capacity", "10", "--set", "write.limt=5"], "is no known key; did you mean flowControl.write.limit?"),
        (["--capacity", "10", "--set", "write.enabled=false"], "does not limit writes; see flowControl.write.enabled"),
        (["--capacity", "10", "--for", "5s", "--plot", "/gone/x.svg"], "--plot: /gone/x.svg cannot be written"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(file: Path, arguments: list[str], said: str) -> None:
    code, out, err = simulate(file, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_file_without_limits_has_nothing_to_simulate(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("pipeline: {name: x}\n")
    assert "does not limit writes" in simulate(file, "--capacity", "5")[2]
