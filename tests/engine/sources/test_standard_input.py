from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from engine.core.errors import ConfigurationError
from engine.sources.lines import lines
from engine.sources.protocol import SourceStart, can_restart
from engine.sources.standard_input import StandardInput
from tests.support.sources import BEGINNING, batches, numbered

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_lines_come_as_from_a_file_until_the_pipe_is_closed(pipe: Pipe) -> None:
    reading, writing = pipe
    os.write(writing, b"one\r\n\nthree\nfour")
    os.close(writing)
    found = batches(StandardInput(descriptor=reading), size=2)
    assert numbered(found) == [(1, b"one"), (3, b"three"), (4, b"four")]


def test_a_pipe_that_is_silent_gives_nothing_and_does_not_wait(pipe: Pipe) -> None:
    reading, writing = pipe
    source = StandardInput(descriptor=reading)
    source.open(BEGINNING)
    batch = source.read(10)
    assert batch is not None
    assert (batch.values, batch.last_offset) == ([], 0)
    os.write(writing, b"one\ntw")
    batch = source.read(10)
    assert batch is not None
    assert batch.values == [b"one"]
    os.write(writing, b"o\n")
    batch = source.read(10)
    assert batch is not None
    assert (batch.first_offset, batch.values) == (2, [b"two"])


def test_a_new_run_numbers_its_lines_behind_those_of_earlier_runs(pipe: Pipe) -> None:
    reading, writing = pipe
    os.write(writing, b"new\n")
    os.close(writing)
    assert numbered(batches(StandardInput(descriptor=reading), SourceStart(41, None))) == [(42, b"new")]


def test_it_says_that_it_cannot_be_read_again() -> None:
    assert not can_restart(lines("-"))
    assert can_restart(lines("somewhere"))


def test_a_process_without_standard_input_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="standard input is closed"):
        lines("-").check()


def test_following_standard_input_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="only a file can be followed"):
        lines("-", follow=True)
