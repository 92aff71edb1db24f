"""Logs of a pattern: those that join, those that rotation makes of them, those that go."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.core.clock import ManualClock
from engine.core.errors import ConfigurationError
from engine.sources.followed_file import FollowedFile
from engine.sources.many_logs import ManyLogs
from engine.sources.protocol import Source, SplitStart


class Logs:
    """Logs that are followed with a clock that the test turns; can be stopped and begun again."""

    def __init__(self, pattern: Path) -> None:
        self.clock = ManualClock()
        self._pattern = pattern
        self.stored: dict[str, SplitStart] = {}
        self.source = self._made()

    def _made(self) -> ManyLogs:
        def made(path: Path) -> tuple[Source, FollowedFile]:
            file = FollowedFile(path, clock=self.clock)
            return file, file

        return ManyLogs(str(self._pattern), made, clock=self.clock)

    def begin(self) -> None:
        self.source = self._made()
        self.source.check()
        self.source.open_splits(dict(self.stored))

    def restart(self) -> None:
        self.source.close()
        self.begin()

    def read(self, seconds: int = 8) -> list[tuple[str, str]]:
        """What comes within so many seconds, with the name of its log."""
        found: list[tuple[str, str]] = []
        for _ in range(4 * seconds):
            while (batch := self.source.read_split(lambda split, offset: 100)) is not None and batch.split:
                assert batch.cursor is not None
                assert batch.first_offset > self.offset(batch.split)
                self.stored[batch.split] = SplitStart(batch.last_offset, batch.cursor, batch.cursor)
                found += [(Path(batch.split).name, value.decode()) for value in batch.values]
            self.clock.advance(0.25)
        return found

    def offset(self, split: str) -> int:
        known = self.stored.get(split)
        return 0 if known is None else known.offset


def write(path: Path, *texts: str) -> None:
    with path.open("ab") as file:
        file.write("".join(f"{text}\n" for text in texts).encode())


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path / "*.log*")


def test_all_logs_are_followed_and_new_ones_join(tmp_path: Path, logs: Logs) -> None:
    write(tmp_path / "a.log", "a1")
    write(tmp_path / "b.log", "b1")
    logs.begin()
    assert sorted(logs.read()) == [("a.log", "a1"), ("b.log", "b1")]
    write(tmp_path / "c.log", "c1")
    write(tmp_path / "a.log", "a2")
    assert sorted(logs.read()) == [("a.log", "a2"), ("c.log", "c1")]
    logs.restart()
    write(tmp_path / "d.log", "d1")
    write(tmp_path / "b.log", "b2")
    assert sorted(logs.read()) == [("b.log", "b2"), ("d.log", "d1")]


@pytest.mark.parametrize("rotated", ["a.log.1", "a-20240131.log", "older a.log", "a-2.log"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_rotation_made_of_a_log_is_no_log_of_its_own(
    tmp_path: Path, logs: Logs, rotated: str, restart: bool
) -> None:
    path = tmp_path / "a.log"
    write(path, *(f"the line of number {n}" for n in range(3)))
    logs.begin()
    assert len(logs.read()) == 3
    write(path, "the last one")
    path.rename(tmp_path / rotated)
    write(path, "the first of the next")
    assert logs.read() == [("a.log", "the last one"), ("a.log", "the first of the next")]
    for _ in range(2):
        if restart:
            logs.restart()
        assert logs.read() == []
    write(path, "and one more")
    assert logs.read() == [("a.log", "and one more")]


@pytest.mark.parametrize("copy", ["a.log.1", "a copy.log"])
def test_a_copy_that_is_made_before_a_truncation_is_no_log_of_its_own(tmp_path: Path, logs: Logs, copy: str) -> None:
    path = tmp_path / "a.log"
    write(path, *(f"the line of number {n}" for n in range(30)))
    logs.begin()
    assert len(logs.read()) == 30
    shutil.copy(path, tmp_path / copy)
    assert logs.read() == []
    path.write_text("")
    assert logs.read() == []
    write(path, "next")
    assert logs.read() == [("a.log", "next")]
    logs.restart()
    assert logs.read() == []


def test_two_logs_that_begin_alike_are_two(tmp_path: Path, logs: Logs) -> None:
    banner = "=" * 300
    write(tmp_path / "a.log", banner)
    logs.begin()
    logs.read()
    write(tmp_path / "b.log", banner, "b")
    assert logs.read() == [("b.log", banner), ("b.log", "b")]


def test_a_log_that_was_deleted_is_read_to_its_end_and_let_go(
    tmp_path: Path, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.log"
    write(path, "a1")
    logs.begin()
    logs.read()
    with path.open("ab") as late:
        path.unlink()
        late.write(b"late\n")
        late.flush()
        assert logs.read() == [("a.log", "late")]
        with caplog.at_level(logging.INFO, "penstock.source"):
            logs.read(90)
    assert "a.log was deleted and gets no more; it is let go" in caplog.text
    write(path, "born again")
    assert logs.read() == [("a.log", "born again")]
    path.unlink()
    logs.restart()
    assert logs.read() == []


def test_what_cannot_be_followed_is_left_out_and_holds_nobody_up(
    tmp_path: Path, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a.log", "a1")
    logs.begin()
    logs.read()
    (tmp_path / "wide.log").write_bytes("wide\n".encode("utf-16"))
    (tmp_path / "packed.log.gz").write_bytes(b"\x1f\x8b\x08\x00")
    write(tmp_path / "a.log", "a2")
    assert logs.read() == [("a.log", "a2")]
    assert caplog.text.count("it is left out") == 1
    with pytest.raises(ConfigurationError, match=r"packed\.log\.gz is packed by gzip"):
        logs.source.check()
    (tmp_path / "packed.log.gz").unlink()
    with pytest.raises(ConfigurationError, match=r"wide\.log is UTF-16-LE; set encoding"):
        logs.source.check()


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        Logs(tmp_path / "nowhere" / "*.log").begin()


def test_it_says_how_far_behind_all_of_them_it_is(tmp_path: Path, logs: Logs) -> None:
    write(tmp_path / "a.log", "a1")
    logs.begin()
    logs.read()
    known: Any = logs.source.input()
    assert (known.position_bytes, known.lag_bytes) == (3, 0)
