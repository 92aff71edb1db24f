"""`penstock run` as a process of its own: how it ends, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SECONDS_MAX = 60
Started = subprocess.Popen[str]

PIPELINE = """\
pipeline:
  name: numbers
  sources: {numbers: {lines: {path: numbers.txt}}}
  transforms: [{parse: {map: "copying:parse", onError: ON_ERROR}}]
  processor: "copying:Copy"
  exporters: {out: {jsonl: {path: out.ndjson}, valueTypes: [copied]}}
management: {enabled: false}
"""
COPYING = """\
def parse(line):
    return {"n": int(line)}

class Copy:
    def process(self, record, context):
        context.emit("copied", record.value)
"""
# A pace at which the hundred numbers take minutes.
SLOW = "flowControl: {write: {enabled: true, limit: 1}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "numbers.txt").write_text("".join(f"{n}\n" for n in range(100)))
    (tmp_path / "copying.py").write_text(COPYING)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Started]]:
    """Starts `penstock run` over the file; what still runs at the end of a test is killed."""
    started: list[Started] = []

    def run(extra: str = "", *arguments: str, on_error: str = "reject") -> Started:
        (folder / "numbers.yaml").write_text(PIPELINE.replace("ON_ERROR", on_error) + extra)
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "run", str(folder / "numbers.yaml"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Not the checkout: a run must not depend on where it was started.
            cwd=folder.parent,
            env={name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK")},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def ended(process: Started) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS_MAX)
    return process.returncode, out, err


def until_it_runs(process: Started) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if "numbers runs over" in line:
            return
    raise AssertionError(f"it ended with {process.wait()}")


def copied(folder: Path) -> list[int]:
    return [json.loads(line)["value"]["n"] for line in (folder / "out.ndjson").read_text().splitlines()]


def test_a_run_ends_by_itself_with_0_and_says_what_it_did(start: Callable[..., Started], folder: Path) -> None:
    code, out, _ = ended(start())
    assert code == 0
    assert out.startswith("numbers: 100 read, 100 processed, 100 exported, 0 rejected in ")
    assert copied(folder) == list(range(100))


def test_a_second_run_finds_everything_done(start: Callable[..., Started], folder: Path) -> None:
    ended(start())
    code, out, _ = ended(start())
    assert code == 0
    assert out.startswith("numbers: 0 read, 0 processed, 0 exported, 0 rejected in ")
    assert out.endswith("; what earlier runs have read is not read again\n")
    assert copied(folder) == list(range(100))


def test_data_may_lie_elsewhere(start: Callable[..., Started], folder: Path) -> None:
    assert ended(start("", "--data", str(folder / "elsewhere")))[0] == 0
    assert (folder / "elsewhere").is_dir()
    assert not (folder / "data").exists()


def test_a_value_that_cannot_be_parsed_is_kept_and_the_run_goes_on(start: Callable[..., Started], folder: Path) -> None:
    (folder / "numbers.txt").write_text("1\ntwo\n3\n")
    code, out, _ = ended(start())
    assert code == 0
    assert "1 rejected" in out
    assert copied(folder) == [1, 3]
    rejected = json.loads((folder / "data/rejects/parse.ndjson").read_text())
    assert (rejected["offset"], rejected["value"]) == (2, "two")


def test_a_run_that_fails_ends_with_1_and_says_where_and_why(start: Callable[..., Started], folder: Path) -> None:
    (folder / "numbers.txt").write_text("1\ntwo\n3\n")
    code, _, err = ended(start(on_error="stop"))
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("penstock: task parse")
    assert "invalid literal for int()" in last
    # The trace stands in the log, in front of it.
    assert "Traceback" in err


def test_a_data_folder_of_another_pipeline_is_refused_with_2(start: Callable[..., Started], folder: Path) -> None:
    ended(start())
    file = folder / "numbers.yaml"
    file.write_text(file.read_text().replace("name: numbers", "name: others"))
    found = subprocess.run(
        [sys.executable, "-m", "penstock", "run", str(file)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert found.returncode == 2
    assert "belongs to pipeline 'numbers', not to 'others'" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_a_run_with_0_and_the_next_one_completes_it(
    start: Callable[..., Started], folder: Path, number: signal.Signals
) -> None:
    process = start(SLOW + "engine: {drainTimeout: 200ms}\n")
    until_it_runs(process)
    process.send_signal(number)
    code, out, err = ended(process)
    assert code == 0
    assert f"{number.name}: finishing what is under way" in err
    assert out.startswith("numbers: ")
    assert ended(start())[0] == 0
    assert copied(folder) == list(range(100))


def test_a_second_signal_ends_a_run_at_once_and_loses_nothing(start: Callable[..., Started], folder: Path) -> None:
    process = start(SLOW)
    until_it_runs(process)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    for line in process.stderr:
        if "finishing what is under way" in line:
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS_MAX) == 128 + signal.SIGTERM
    assert ended(start())[0] == 0
    assert copied(folder) == list(range(100))


def test_a_killed_run_is_completed_by_the_next_without_doubles(start: Callable[..., Started], folder: Path) -> None:
    process = start(SLOW)
    until_it_runs(process)
    process.kill()
    process.wait(SECONDS_MAX)
    assert ended(start())[0] == 0
    assert copied(folder) == list(range(100))


def test_logs_are_json_lines_where_the_file_says_so(start: Callable[..., Started]) -> None:
    _, _, err = ended(start("logging: {format: json}\n"))
    lines = [json.loads(line) for line in err.splitlines()]
    assert any(line["message"].startswith("pipeline numbers runs over") for line in lines)
    assert {*lines[0]} == {"time", "level", "logger", "message"}


def test_a_quiet_run_says_nothing_but_its_sum(start: Callable[..., Started]) -> None:
    code, out, err = ended(start("logging: {level: warning}\n"))
    assert (code, err) == (0, "")
    assert out.count("\n") == 1


def test_the_management_port_answers_while_the_run_lasts(start: Callable[..., Started]) -> None:
    import httpx

    process = start(SLOW, "--port", "0")
    # The later --port opens what the file has closed.
    assert process.stderr is not None
    line = next(line for line in process.stderr if "shows what happens" in line)
    url = next(word for word in line.split() if word.startswith("http://"))
    until_it_runs(process)
    assert "penstock_build_info" in httpx.get(f"{url}/metrics").text
