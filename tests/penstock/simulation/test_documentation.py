"""`docs/flow-control.md` shows what `penstock simulate` and the benchmark of the controllers say."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks.control import throttle
from tests.support.commands import penstock
from tests.support.pages import ROOT, commands, page

PAGE = page("flow-control.md")
SIMULATED = commands(PAGE, "penstock simulate")
LOADS = {
    "degraded": ["--offered", "3000", "--capacity", "3500,10m:800"],
    "outage": ["--offered", "4000", "--capacity", "2500,15m:0,20m:2500"],
}


def test_the_page_shows_the_command() -> None:
    assert len(SIMULATED) >= 2


@pytest.mark.parametrize(("command", "answer"), SIMULATED)
def test_each_command_on_the_page_answers_what_stands_below_it(
    command: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code, out, _ = penstock(*shlex.split(command)[1:])
    assert (code, out.strip()) == (0, answer)


@pytest.mark.parametrize("algorithm", ["proportional", "adaptive"])
@pytest.mark.parametrize("name", LOADS)
def test_each_picture_on_the_page_is_what_is_drawn(
    name: str, algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    drawn, file = tmp_path / "plot.svg", f"flow-control/{name}-{algorithm}.svg"
    change = ["--set", f"write.throttling.algorithm={algorithm}"]
    penstock("simulate", "examples/flights/flights.yaml", *LOADS[name], *change, "--plot", str(drawn))
    assert f"]({file})" in PAGE
    assert drawn.read_text() == page(file)


def test_the_table_of_the_controllers_is_what_the_benchmark_says() -> None:
    rows = [row for row in throttle() if row.startswith("| ")]
    assert len(rows) == 15
    measured = page("benchmarks/flow-control.md")
    missing = [row for row in rows if row not in measured]
    assert not missing
