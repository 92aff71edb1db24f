"""What is missing on a machine skips tests with a line that says what to install, and fails them in CI."""

from __future__ import annotations

import pytest

from tests.support import programs
from tests.support.programs import MISSING, fetched, why_missing


def test_what_is_missing_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert why_missing("curl", "tmux") == f"{MISSING}curl, tmux (Debian: apt install curl tmux)"


def test_what_maven_cannot_bring_is_tried_once_and_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_NOT_FETCHED", {})
    monkeypatch.delenv("CI", raising=False)
    tries: list[int] = []

    def fetch() -> str:
        tries.append(1)
        return "no route to host"

    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match=f"{MISSING}Kafka, which mvn could not fetch"):
            fetched("Kafka", fetch)
    assert len(tries) == 1


def test_in_ci_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_NOT_FETCHED", {})
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="no route to host"):
        fetched("Kafka", lambda: "no route to host")


def test_what_was_brought_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_NOT_FETCHED", {})
    fetched("Kafka", lambda: None)
