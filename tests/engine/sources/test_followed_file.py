from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core.clock import ManualClock
from engine.core.errors import ConfigurationError
from engine.sources.followed_file import FollowedFile
from engine.sources.lines import lines
from engine.sources.protocol import SourceBatch, SourceStart
from tests.support.sources import BEGINNING, numbered, what_is_there


class Followed:
    """A followed file with a clock that the test turns, which can be stopped and started again."""

    def __init__(self, folder: Path, name: str = "app.log") -> None:
        self.path = folder / name
        self.clock = ManualClock()
        self.source = FollowedFile(self.path, clock=self.clock)
        self.seen: list[SourceBatch] = []

    def write(self, content: bytes, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(content)

    def begin(self, start: SourceStart = BEGINNING) -> None:
        self.source.open(start)

    def restart(self) -> None:
        self.source.close()
        self.source = FollowedFile(self.path, clock=self.clock)
        last = self.seen[-1] if self.seen else None
        self.begin(BEGINNING if last is None else SourceStart(last.last_offset, last.cursor))

    def read(self, *, quiet: bool = False, size: int = 1000) -> list[tuple[int, bytes]]:
        """What is new; with `quiet`, also what comes after files that were moved away have been quiet."""
        found = what_is_there(self.source, size)
        if quiet:
            for _ in range(4):
                self.clock.advance(3)
                found += what_is_there(self.source, size)
        self.seen += found
        return numbered(found)


@pytest.fixture
def log_file(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_lines_come_as_their_ends_are_written(log_file: Followed) -> None:
    log_file.write(b"one\ntw")
    log_file.begin()
    assert log_file.read() == [(1, b"one")]
    log_file.write(b"o\n\nfour\n")
    assert log_file.read() == [(2, b"two"), (4, b"four")]
    assert log_file.read() == []


def test_a_file_that_is_not_there_yet_is_waited_for(log_file: Followed) -> None:
    log_file.source.check()
    log_file.begin()
    assert log_file.read() == []
    log_file.write(b"one\n")
    assert log_file.read() == [(1, b"one")]


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one_with_offsets_going_on(log_file: Followed) -> None:
    log_file.write(b"one\n")
    log_file.begin()
    assert log_file.read() == [(1, b"one")]
    old = log_file.path.rename(log_file.path.with_name("app.log.1"))
    log_file.write(b"three\n")
    assert log_file.read() == []
    # Its writer has not noticed yet.
    log_file.write(b"two\n", old)
    assert log_file.read() == [(2, b"two")]
    assert log_file.read(quiet=True) == [(3, b"three")]


def test_a_last_line_without_an_end_counts_when_its_file_is_left(log_file: Followed) -> None:
    log_file.write(b"one\ntwo")
    log_file.begin()
    log_file.read()
    log_file.path.rename(log_file.path.with_name("app.log.1"))
    log_file.write(b"three\n")
    assert log_file.read(quiet=True) == [(2, b"two"), (3, b"three")]


def test_while_nothing_has_taken_its_place_a_moved_file_is_read_on(log_file: Followed) -> None:
    log_file.write(b"one\n")
    log_file.begin()
    log_file.read()
    old = log_file.path.rename(log_file.path.with_name("app.log.1"))
    assert log_file.read(quiet=True) == []
    log_file.write(b"two\n", old)
    assert log_file.read() == [(2, b"two")]


@pytest.mark.parametrize("now", [b"new\n", b"new, and longer than what was there before\n"])
def test_a_truncated_file_is_read_from_its_beginning(
    log_file: Followed, now: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    log_file.write(b"one\ntwo\n")
    log_file.begin()
    log_file.read()
    log_file.path.write_bytes(now)
    with caplog.at_level(logging.WARNING, "penstock.source"):
        assert log_file.read() == [(3, now[:-1])]
    assert "app.log was truncated; it is read from its beginning" in caplog.text


def test_a_restart_goes_on_in_the_same_file(log_file: Followed) -> None:
    log_file.write(b"one\ntwo\n")
    log_file.begin()
    log_file.read()
    log_file.write(b"three\n")
    log_file.restart()
    assert log_file.read() == [(3, b"three")]


def test_a_restart_finds_a_file_that_was_rotated_meanwhile_and_those_that_followed_it(log_file: Followed) -> None:
    log_file.write(b"one\n")
    log_file.begin()
    log_file.read()
    log_file.source.close()
    log_file.write(b"two\n")
    log_file.path.rename(log_file.path.with_name("app.log.2"))
    log_file.write(b"three\n")
    log_file.path.rename(log_file.path.with_name("app.log.1"))
    log_file.write(b"four\n")
    for age, name in enumerate(("app.log", "app.log.1", "app.log.2")):
        os.utime(log_file.path.with_name(name), (1000 - age, 1000 - age))
    log_file.restart()
    assert log_file.read(quiet=True) == [(2, b"two"), (3, b"three"), (4, b"four")]


def test_a_copy_of_a_log_is_not_taken_for_a_rotated_one(log_file: Followed) -> None:
    log_file.write(b"one\n")
    log_file.begin()
    log_file.read()
    log_file.write(b"a copy\n", log_file.path.with_name("app.log.bak"))
    log_file.path.rename(log_file.path.with_name("app.log.1"))
    log_file.write(b"two\n")
    assert log_file.read(quiet=True) == [(2, b"two")]


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "truncated"])
def test_a_file_that_is_gone_after_a_restart_is_said_and_the_one_there_now_is_read(
    log_file: Followed, gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log_file.write(b"one\ntwo\n")
    log_file.begin()
    log_file.read()
    log_file.source.close()
    if gone:
        log_file.path.unlink()
    log_file.path.write_bytes(b"new\n")
    with caplog.at_level(logging.WARNING, "penstock.source"):
        log_file.restart()
    assert "app.log: the file of this name, read up to byte 8, is gone or was truncated" in caplog.text
    assert log_file.read() == [(3, b"new")]


def test_a_file_in_a_folder_that_does_not_exist_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere: no such folder"):
        lines(tmp_path / "nowhere" / "app.log", follow=True).check()


class FollowingAnyHistory(RuleBasedStateMachine):
    """Whatever a writer, a rotation and restarts do in whatever order: every line comes once, in order."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.rotations = 0
        self.read: list[bytes] = []

    @initialize(number=st.uuids())
    def begin(self, number: object) -> None:
        folder = FOLDER / str(number)
        folder.mkdir(exist_ok=True)
        for left_over in folder.iterdir():
            left_over.unlink()
        self.followed = Followed(folder)
        # What is rotated before the first look is never seen.
        self.write(1)
        self.followed.begin()

    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        for _ in range(count):
            self.followed.write(b"line %d\n" % self.written)
            self.written += 1
        self._date()

    @rule(size=st.integers(1, 4))
    def look(self, size: int) -> None:
        self.read += [line for _, line in self.followed.read(size=size)]

    @precondition(lambda self: self.followed.path.exists())
    @rule()
    def rotate(self) -> None:
        folder = self.followed.path.parent
        for age in range(self.rotations, 0, -1):
            (folder / f"app.log.{age}").rename(folder / f"app.log.{age + 1}")
        self.followed.path.rename(folder / "app.log.1")
        self.rotations += 1
        # The next file is made at once, as the writer would.
        self.write(1)

    @precondition(lambda self: self.read)
    @rule()
    def restart(self) -> None:
        # What was read behind the last whole batch is read again.
        self.followed.restart()

    def _date(self) -> None:
        # Writes follow each other faster than a file's date may tell.
        if self.followed.path.exists():
            os.utime(self.followed.path, (10**6 + self.written, 10**6 + self.written))

    @invariant()
    def lines_come_once_and_in_order(self) -> None:
        assert self.read == [b"line %d" % n for n in range(len(self.read))]

    def teardown(self) -> None:
        if not hasattr(self, "followed"):
            return
        for _ in range(self.rotations + 1):
            self.read += [line for _, line in self.followed.read(quiet=True)]
        self.followed.source.close()
        assert self.read == [b"line %d" % n for n in range(self.written)]


FOLDER = Path()


def test_every_line_comes_once_and_in_order_whatever_happens_to_the_file(tmp_path: Path) -> None:
    global FOLDER  # noqa: PLW0603  (hypothesis makes the machines, and has no other way to tell them)
    FOLDER = tmp_path
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(FollowingAnyHistory, settings=settings(max_examples=60, deadline=None))
