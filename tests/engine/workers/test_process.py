"""A worker process whose code is not what its parent's is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event
from types import ModuleType

import pytest

from engine.core.errors import PenstockError
from engine.workers.process import WorkerLost, WorkerProcess
from tests.support.processes import sockets
from tests.support.waiting import WAIT_SECONDS


def how_it_ended(process: WorkerProcess, told: Event) -> str:
    assert told.wait(3 * WAIT_SECONDS)
    assert process.is_gone
    return process.reap()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("from os import what_is_not_there", "ImportError: cannot import name 'what_is_not_there' from 'os'"),
        ("def half(", "SyntaxError: "),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_one_that_cannot_import_our_code_is_one_sentence_and_no_trace_on_the_terminal(
    code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # As where an installation is replaced under a run: the parent has its code, who starts now finds this.
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    told = Event()
    process = WorkerProcess(1, told.set)
    said = how_it_ended(process, told)
    assert said.startswith(f"failed in Penstock's own code ({why}")
    assert said.endswith("; were its files replaced during the run?)")
    with pytest.raises(WorkerLost):
        process.call("snapshot").result(WAIT_SECONDS)
    assert capfd.readouterr().err == ""


def test_so_is_one_that_does_not_know_what_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("made_up")
    exec("class Thing: pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_up", module)
    told = Event()
    process = WorkerProcess(1, told.set)
    call = process.call("load", module.Thing())
    assert how_it_ended(process, told).startswith(
        "failed in Penstock's own code (ModuleNotFoundError: No module named 'made_up'; "
    )
    with pytest.raises(WorkerLost):
        call.result(WAIT_SECONDS)
    assert capfd.readouterr().err == ""


def test_one_whose_interpreter_is_gone_is_one_sentence_and_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sockets(os.getpid())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(
        PenstockError, match=r"^worker 1 cannot be started: /nowhere/python: No such file or directory$"
    ):
        WorkerProcess(1, lambda: None)
    assert sockets(os.getpid()) == before
