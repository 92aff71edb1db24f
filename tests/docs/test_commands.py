"""Every command of the manual is run, beside a pipeline, or is named here with the reason why it is not."""

from __future__ import annotations

import re
import shlex
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from penstock.cli.main import commands
from tests.docs.stage import Stage, runs_until_interrupted, staged
from tests.support.blocks import PAGES, ROOT, Block, blocks, name, without_blocks
from tests.support.programs import program

# Commands that are not run here, by how they begin, with the reason.
NOT_RUN = {
    "docker": "needs a container engine; tests/dashboards/test_deploy.py holds the files against what they promise",
    "systemctl": "needs systemd; tests/penstock/test_deploy.py has systemd look at the unit",
    "helm": "needs a cluster; tests/penstock/test_helm.py renders the chart",
    "useradd": "changes the machine",
    "install -d /etc/penstock": "changes the machine",
    "cp deploy/systemd": "changes the machine",
    "tar -C /var/lib/penstock": "is about the machine of the unit",
    "penstock log verify /etc/penstock": "is about the machine of the unit",
    "python3 -m venv /opt": "changes the machine",
    "/opt/penstock/bin/pip": "needs the network",
    "pip install": "needs the network; that there is such an extra is looked at below",
    "pytest": "is what runs just now",
    ".venv/bin/python -m benchmarks": "takes a quarter of an hour; make bench is tried by tests/benchmarks",
    "penstock watch 4711": "needs the right to look into another process, as tests/end_to_end/test_watch_process.py",
    "penstock log verify data --repair": "needs damage; tests/penstock/cli/test_log.py makes some and repairs it",
}
# These end by Ctrl-C alone, or take longer than a test should: begun, heard and interrupted.
UNTIL_INTERRUPTED = {
    "penstock demo": " --fast --no-tty --port 0",
    "penstock bridge": " --port 0",
    "curl -N": "",
}


def commands_of(block: Block) -> Iterator[str]:
    """Of a console those behind its prompts, else each line; what goes on behind a backslash is one."""
    prompt = "$ " if block.language == "console" else ""
    for command in block.text.replace("\\\n", "\0").splitlines():
        if command.startswith(prompt) and command.strip() and not command.lstrip().startswith("#"):
            yield command.removeprefix(prompt).replace("\0", "\\\n")


# Its commands need one another.
TOGETHER = {"docs/first-pipeline.md": "tests/docs/test_first_pipeline.py goes through all of it"}
COMMANDS = [(block, command) for block in blocks("sh", "console") for command in commands_of(block)]


def reason(command: str) -> str | None:
    return next((why for beginning, why in NOT_RUN.items() if command.startswith(beginning)), None)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("stage")) as found:
        yield found


# One after the other in the order of their pages: what a command leaves behind the next one finds.
@pytest.mark.parametrize(
    ("block", "command"),
    [
        pytest.param(block, command, id=f"{block} {command.splitlines()[0]}")
        for block, command in COMMANDS
        if reason(command) is None and block.page not in TOGETHER
    ],
)
def test_a_command_of_the_manual_does_what_it_says(stage: Stage, block: Block, command: str) -> None:
    if "curl" in command.split():
        program("curl")
    more = next((more for beginning, more in UNTIL_INTERRUPTED.items() if command.startswith(beginning)), None)
    if more is not None:
        said, code = runs_until_interrupted(stage, command + more)
        assert said
        assert "Traceback" not in said
        assert code in (0, -signal.SIGTERM), said
        return
    done = stage.run(command)
    assert done.returncode == 0, f"{block}: {command}\n{done.stdout}{done.stderr}"


def test_each_reason_not_to_run_a_command_is_needed() -> None:
    unused = {beginning for beginning in NOT_RUN if not any(line.startswith(beginning) for _, line in COMMANDS)}
    assert not unused


def inline() -> Iterator[tuple[str, list[str]]]:
    """What stands in backticks and begins with the command's name, on any page and in any block of commands."""
    for page in PAGES:
        for found in re.findall(r"`(penstock [a-z][^`\n]*)`", without_blocks(page)):
            yield name(page), [*found.split()]
    for block, command in COMMANDS:
        for line in command.replace("\\\n", " ").splitlines():
            if line.strip().startswith("penstock "):
                words = shlex.split(line, comments=True)
                end = next((i for i, word in enumerate(words) if word in ("|", "&&", ">")), len(words))
                yield str(block), words[:end]


INLINE = [*inline()]


def unknown(words: list[str]) -> str | None:
    """The first word that is neither a command nor an option of the one in front of it."""
    command: click.Command = commands
    context = click.Context(commands)
    for word in words:
        if word.startswith("-"):
            flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
            if word.partition("=")[0] not in flags | {"--help", "-h"}:
                return word
        elif isinstance(command, click.Group):
            # `ls|cat|verify` names three.
            found = [command.get_command(context, one) for one in word.split("|")]
            if any(one is None for one in found):
                return word
            command = found[0] or command
    return None


@pytest.mark.parametrize(("place", "words"), INLINE, ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_each_command_and_option_that_a_page_names_exists(place: str, words: list[str]) -> None:
    assert unknown([word.strip("[],;") for word in words[1:]]) is None, place


def test_commands_are_found_and_a_wrong_one_is_unknown() -> None:
    assert len(COMMANDS) > 40
    assert len(INLINE) > 60
    assert unknown(["walk"]) == "walk"
    assert unknown(["run", "x.yaml", "--prot", "1"]) == "--prot"
    assert unknown(["flow-control", "get", "--json"]) is None


def test_each_extra_that_a_page_tells_to_install_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = {
        one.strip()
        for page in [*PAGES, *sorted((ROOT / "penstock").rglob("*.py")), *sorted((ROOT / "engine").rglob("*.py"))]
        for found in re.findall(r"penstock\[([\w,]+)\]", page.read_text(encoding="utf-8"))
        for one in found.split(",")
    }
    assert {"kafka", "watch"} <= told <= {*extras}


def test_each_target_of_make_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for page in PAGES for found in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert {"demo", "test", "check"} <= named <= targets


def test_each_file_that_a_page_names_as_a_path_is_there() -> None:
    # Folders whose files pages speak of.
    rooted = r"`((?:tests|benchmarks|deploy|examples|exporter|engine|dashboards|docs|penstock|\.ci)/[\w./@-]+)`"
    gone = {
        f"{name(page)}: {path}"
        for page in PAGES
        # Decisions speak of what there was.
        if page.parent.name != "decisions"
        for path in re.findall(rooted, page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists() and Path(path).parts[-1] not in ("data", "out")
    }
    assert not gone
