"""What an hour's lines come to."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import hour
from benchmarks.goals import GOALS
from benchmarks.hour import Minute, document, findings, verdicts
from benchmarks.study import Pace

NAMES = {goal.name for goal in GOALS if goal.by == "hour"}


def lines(
    *, slower_at_the_end: float = 1.0, larger_at_the_end: float = 1.0, disk_at_the_end: float = 1.0
) -> list[Minute]:
    """Sixty minutes that are all alike, but for the last quarter; the stalled ones are slow."""
    found = []
    for minute in range(1, 61):
        stalled, late = 20 < minute <= 30, minute > 45
        found.append(
            Minute(
                minute=minute,
                records_per_second=1000.0 if stalled else 100_000.0 * (slower_at_the_end if late else 1),
                memory_mb={"parent": 30.0, "worker 1": 70.0 * (larger_at_the_end if late else 1)},
                disk_mb=50.0 * (disk_at_the_end if late else 1) + (500 if stalled else 0),
                stalled_backlog=500_000 if stalled else 0,
                stalled=stalled,
            )
        )
    return found


def test_the_figures_are_those_of_the_goals() -> None:
    found = findings(lines())
    assert set(found) == NAMES
    assert found == {"hour, memory": 70.0, "hour, growth": 1.0, "hour, rate": 1.0}


def test_an_hour_that_ends_as_it_began_holds_whatever_the_stall_did() -> None:
    assert all(verdicts(lines()).values())


@pytest.mark.parametrize(
    "worse",
    [{"slower_at_the_end": 0.8}, {"larger_at_the_end": 1.3}, {"larger_at_the_end": 2.5}, {"disk_at_the_end": 14.0}],
)
def test_an_hour_that_ends_worse_does_not_hold(worse: dict[str, float]) -> None:
    assert not all(verdicts(lines(**worse)).values())


def test_the_runner_shows_what_an_hour_has_left_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hour, "FILE", tmp_path / "hour.json")
    assert set(hour.run(Pace()).missing) == NAMES
    kept = document(lines(), 60)
    hour.FILE.write_text(json.dumps(kept))
    report = hour.run(Pace())
    assert report.samples == {name: [figure] for name, figure in findings(lines()).items()}
    hour.FILE.write_text(json.dumps(kept | {"minutes": 2}))
    shorter = hour.run(Pace())
    assert not shorter.samples
    assert set(shorter.missing) == NAMES


def test_a_line_survives_the_file() -> None:
    line = lines()[25]
    assert Minute(**json.loads(json.dumps(asdict(line)))) == line
