"""What the command says when it is asked for help, or asked wrongly."""

import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import penstock
from penstock.cli.ending import ended
from penstock.cli.main import commands

ROOT = Path(__file__).parents[3]
FLIGHTS = ROOT / "examples/flights/flights.yaml"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process: exit code, stdout, stderr."""

    def invoke(*arguments: str) -> tuple[int, str, str]:
        code = ended(lambda: commands.main([*arguments], prog_name="penstock", standalone_mode=False))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return invoke


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_the_commands_and_the_exit_codes(call: Call, arguments: list[str]) -> None:
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    for word in ("run", "check", "Exit codes"):
        assert word in out


def every_command(group: click.Group = commands, *above: str) -> Iterator[tuple[str, ...]]:
    """Their words, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*above, name)
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, *above, name)


COMMANDS = [*every_command()]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_explains_itself(call: Call, words: tuple[str, ...]) -> None:
    code, out, _ = call(*words, "--help")
    assert code == 0
    assert out.startswith(f"Usage: penstock {' '.join(words)}")
    assert len(out.splitlines()) > 3


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=lambda words: " ".join(words) or "penstock")
def test_help_cuts_no_sentence_and_fits_a_terminal_of_eighty_columns(
    call: Call, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    _, out, _ = call(*words, "--help")
    for line in out.splitlines():
        assert len(line) <= 80
        # `KEY=VALUE...` and `[ARGS]...` are how more of the same are written.
        assert not re.search(r"[a-z,]\.\.\.$", line), line


@pytest.mark.parametrize("name", list(commands.list_commands(click.Context(commands))))
def test_the_help_says_of_each_command_what_its_own_help_begins_with(name: str) -> None:
    context = click.Context(commands)
    command = commands.get_command(context, name)
    assert command is not None
    assert commands.sentence(context, name) == command.get_short_help_str(limit=1_000)


def test_the_version_is_that_of_the_package_on_this_python_and_says_whether_its_threads_take_turns(call: Call) -> None:
    lock = "enabled" if getattr(sys, "_is_gil_enabled", lambda: True)() else "disabled"
    said = f"penstock, version {penstock.__version__}, Python {platform.python_version()}, GIL {lock}\n"
    assert call("--version") == (0, said, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["walk"], "No such command 'walk'"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "x.yaml", "--prot", "1"], "No such option '--prot'"),
        (["run", "x.yaml", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (["run", "x.yaml", "--port", "1", "--no-management"], "--port and --no-management exclude each other"),
        (["run", "gone.yaml"], "gone.yaml: no such file or directory"),
        (["check", "gone.yaml"], "gone.yaml: no such file or directory"),
        (["check"], "Missing argument 'FILE'"),
    ],
)
def test_wrong_usage_is_one_line_on_stderr_and_exit_code_2(call: Call, arguments: list[str], said: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("penstock: ")
    assert err.count("\n") == 1


def test_a_mistake_in_the_file_is_one_line_on_stderr_and_exit_code_2(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("pipeline: {name: x}\nflowControl: {write: {limt: 1}}\n")
    for command in ("check", "run"):
        code, out, err = call(command, str(file))
        assert (code, out) == (2, "")
        said = "flowControl.write.limt is no known key; did you mean flowControl.write.limit?"
        assert err == f"penstock: {file}:2: {said}\n"


def test_check_says_what_the_example_would_run(call: Call) -> None:
    code, out, err = call("check", str(FLIGHTS))
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{FLIGHTS} is fine: pipeline flights, 2 partitions"
    for words in (
        "source         flights    lines of ",
        "transform      parse      map flights:parse",
        "processor      processor  flights:DelayStatistics",
        "exporter       delays     jsonl to ",
        "only departure, arrival_counted",
        "at most 4000 records per second and partition, slowed down to 100 at the least",
        "continuous, 100 samples, 50ms apart",
        "http://127.0.0.1:9600",
    ):
        assert words in out


def test_check_makes_no_folder(call: Call) -> None:
    before = sorted(FLIGHTS.parent.iterdir())
    call("check", str(FLIGHTS))
    assert {p for p in FLIGHTS.parent.iterdir() if p.name != "__pycache__"} <= set(before)


def test_check_finds_a_pipeline_of_two_partitions_without_a_key(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    file = tmp_path / "x.yaml"
    file.write_text("pipeline: {name: x, partitions: 2, sources: {a: {lines: {path: in.txt}}}}\n")
    code, _, err = call("check", str(file))
    assert code == 2
    assert "pipeline.key is missing: with 2 partitions it says which of them" in err


def test_what_is_ignored_is_said_by_check(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    file = tmp_path / "x.yaml"
    file.write_text("pipeline: {name: x, sources: {a: {lines: {path: in.txt}}}}\n")
    monkeypatch.setenv("ZEEBE_BROKER_NETWORK_HOST", "x")
    code, _, err = call("check", str(file))
    assert code == 0
    assert err.endswith("ignored: ZEEBE_BROKER_NETWORK_HOST\n")


def test_a_port_in_use_is_said_before_anything_runs(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    file = tmp_path / "x.yaml"
    file.write_text("pipeline: {name: x, sources: {a: {lines: {path: in.txt}}}}\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = call("run", str(file), "--port", str(port))
    assert (code, out) == (2, "")
    assert err == f"penstock: port {port} on 127.0.0.1 is in use; --port or management.port names another\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_web_config_that_cannot_be_used_is_one_line_before_anything_runs(
    call: Call, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "web.yml").write_text("basic_auth_users: {alice: secret}\n")
    monkeypatch.setenv("PENSTOCK_MANAGEMENT_WEBCONFIG", str(tmp_path / "web.yml"))
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    code, _, err = call(command, str(FLIGHTS))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"penstock: {tmp_path / 'web.yml'}: basic_auth_users.alice must be a bcrypt hash")
    assert not (tmp_path / "data").exists()
