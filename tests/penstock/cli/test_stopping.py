"""What a signal does to a run, whatever the main thread is at when it comes."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from threading import Event, get_ident

import pytest

from penstock.cli.stopping import stopped_by_signals
from tests.support.waiting import WAIT_SECONDS, wait_until


class Stderr:
    """As the real one in this: who writes while the same thread is writing is refused."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        """`meanwhile` is what happens in the middle of the first write."""
        self.text = ""
        self._meanwhile: Callable[[], None] | None = meanwhile
        self._writer: int | None = None

    def write(self, text: str) -> None:
        if self._writer == get_ident():
            raise RuntimeError("reentrant call")
        self._writer = get_ident()
        meanwhile, self._meanwhile = self._meanwhile, None
        try:
            if meanwhile is not None:
                meanwhile()
        finally:
            self._writer = None
        self.text += text

    def flush(self) -> None:
        return


class Running:
    def __init__(self) -> None:
        self.told_to_stop = Event()

    def stop(self) -> None:
        self.told_to_stop.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_log_line_stops_the_run_and_is_said(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Stderr(lambda: signal.raise_signal(number))
    # Where logging tells of its own errors.
    monkeypatch.setattr(sys, "stderr", stderr)
    handler = logging.StreamHandler(stderr)  # type: ignore[type-var]
    log = logging.getLogger("penstock.run")
    monkeypatch.setattr(log, "level", logging.INFO)
    log.addHandler(handler)
    engine = Running()
    try:
        with stopped_by_signals(engine):  # type: ignore[arg-type]
            log.info("the line in which it comes")
            assert engine.told_to_stop.wait(WAIT_SECONDS)
            assert wait_until(lambda: f"{number.name}: finishing what is under way" in stderr.text)
    finally:
        log.removeHandler(handler)
    assert "the line in which it comes" in stderr.text
    assert "Traceback" not in stderr.text
