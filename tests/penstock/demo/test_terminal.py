"""The live view in a real terminal of the sizes people have, from its first frame to the summary."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


class Terminal:
    """A tmux server of its own with one window, which runs a command."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._tmux = [program("tmux"), "-S", str(folder / "socket"), "-f", "/dev/null"]
        self._size = ["-x", str(width), "-y", str(height)]

    def run(self, command: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
        subprocess.run([*self._tmux, "new-session", "-d", *self._size, command], check=True, env=environment)

    def press(self, key: str) -> None:
        subprocess.run([*self._tmux, "send-keys", key], check=True)

    def lines(self) -> list[str]:
        shown = subprocess.run([*self._tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True)
        return shown.stdout.splitlines()

    def shows(self, *words: str) -> bool:
        text = "\n".join(self.lines())
        return all(word in text for word in words)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture(params=[(80, 24), (140, 40)], ids=["80x24", "140x40"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, *request.param)
    yield opened
    opened.close()


def test_the_live_view_fits_and_gives_the_terminal_back(terminal: Terminal) -> None:
    # `cat` keeps the window open when the demo is over.
    terminal.run(f"{sys.executable} -m penstock demo --loop --port 0; echo it ended with $?; cat")
    assert wait_until(lambda: terminal.shows("read 24", "Ctrl-C ends"), 40), terminal.lines()
    lines = terminal.lines()
    assert lines[0].startswith("Penstock demo: flights"), "the top has not scrolled away"
    starts = [line.split()[0] for line in lines if line.strip()]
    for task in ("flights", "parse", "log-writer", "processor", "archive", "summaries"):
        assert task in starts
    terminal.press("C-c")
    assert wait_until(lambda: terminal.shows("The demo ran for", "removed", "it ended with 0"), 40), terminal.lines()
    assert not terminal.shows("Ctrl-C ends")
