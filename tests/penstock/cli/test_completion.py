"""What a shell completes, and that each of them takes the script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import penstock

SHELLS = ("bash", "zsh", "fish")


def completed(*words: str) -> list[str]:
    """What bash is told for these words, the last of which is being typed."""
    environment = {
        **os.environ,
        "_PENSTOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("penstock", *words)),
        "COMP_CWORD": str(len(words)),
    }
    found = subprocess.run(
        [sys.executable, "-m", "penstock"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return [line.partition(",")[2] for line in found.stdout.splitlines()]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_is_here_takes_its_script(shell: str, tmp_path: Path) -> None:
    code, out, err = penstock("completion", shell)
    assert (code, err) == (0, "")
    assert f"_PENSTOCK_COMPLETE={shell}_complete" in out
    if shutil.which(shell) is None:
        return
    script = tmp_path / "script"
    script.write_text(out)
    assert subprocess.run([shell, "-n", script], capture_output=True, check=False, timeout=60).returncode == 0


def test_another_shell_is_refused_in_one_line() -> None:
    code, out, err = penstock("completion", "tcsh")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert all(shell in err for shell in SHELLS)


def test_commands_their_commands_and_options_are_completed() -> None:
    assert completed("flo") == ["flow-control"]
    assert completed("flow-control", "") == ["get", "revert", "set"]
    assert completed("run", "--no-m") == ["--no-management"]
    assert {"demo", "run", "completion"} <= {*completed("")}


def test_files_are_completed_by_the_shell() -> None:
    environment = {
        **os.environ,
        "_PENSTOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": "penstock run fl",
        "COMP_CWORD": "2",
    }
    found = subprocess.run(
        [sys.executable, "-m", "penstock"], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.startswith("file,")
