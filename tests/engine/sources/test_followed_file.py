from __future__ import annotations

import gzip
import logging
import os
import random
import shutil
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
from tests.support.rotations import WAYS, LogWriter
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


def pack(path: Path) -> Path:
    """As gzip does: another file, with the time of the first."""
    times = path.stat()
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
    path.unlink()
    return packed


LONG = [b"line %d with some words behind it" % n for n in range(6)]


@pytest.mark.parametrize(
    "rotated", ["app.2024-01-31_00-00-00_000000.log", "app.log-20240131.gz", "app.log.1.gz", "whatever.name"]
)
def test_a_restart_finds_a_file_under_whatever_name_rotation_gave_it(log_file: Followed, rotated: str) -> None:
    log_file.write(LONG[0] + b"\n")
    log_file.begin()
    assert log_file.read() == [(1, LONG[0])]
    log_file.write(LONG[1] + b"\n")
    moved = log_file.path.rename(log_file.path.with_name(rotated.removesuffix(".gz")))
    if rotated.endswith(".gz"):
        pack(moved)
    log_file.write(LONG[2] + b"\n")
    log_file.restart()
    assert log_file.read(quiet=True) == [(2, LONG[1]), (3, LONG[2])]


def test_what_was_packed_in_between_is_read_in_its_turn(log_file: Followed) -> None:
    log_file.write(LONG[0] + b"\n")
    log_file.begin()
    log_file.read()
    for turn, (line, date) in enumerate(((LONG[1], "20240130"), (LONG[2], "20240131"))):
        log_file.write(line + b"\n")
        os.utime(log_file.path, (1000 + turn, 1000 + turn))
        pack(log_file.path.rename(log_file.path.with_name(f"app.log-{date}")))
    log_file.write(LONG[3] + b"\n")
    log_file.restart()
    assert [line for _, line in log_file.read(quiet=True)] == LONG[1:4]


def test_what_copytruncate_copied_is_read_to_its_end_and_then_what_was_written_since(log_file: Followed) -> None:
    for restarts in (False, True):
        log_file.path.unlink(missing_ok=True)
        log_file.write(LONG[0] + b"\n")
        log_file.seen = []
        log_file.restart()
        assert log_file.read() == [(1, LONG[0])]
        log_file.write(LONG[1] + b"\n")
        shutil.copy(log_file.path, log_file.path.with_name("app.log.1"))
        log_file.path.write_bytes(LONG[2] + b"\n")
        if restarts:
            log_file.restart()
        assert log_file.read(quiet=True) == [(2, LONG[1]), (3, LONG[2])]


@pytest.mark.parametrize("hole", [100, 3_000_000])
def test_a_hole_in_front_of_a_line_is_no_part_of_it(log_file: Followed, hole: int) -> None:
    log_file.write(LONG[0] + b"\n")
    log_file.begin()
    log_file.read()
    # The writer goes on where it was.
    log_file.path.write_bytes(bytes(hole) + LONG[1] + b"\n" + LONG[2] + b"\n" + bytes(hole) + LONG[3] + b"\n")
    assert log_file.read() == [(2, LONG[1]), (3, LONG[2]), (4, LONG[3])]
    log_file.restart()
    log_file.write(LONG[4] + b"\n")
    assert log_file.read() == [(5, LONG[4])]


def test_nuls_inside_of_a_line_are_its_own(log_file: Followed) -> None:
    log_file.write(b"one\0two\n")
    log_file.begin()
    assert log_file.read() == [(1, b"one\0two")]


def test_a_link_is_followed_to_wherever_it_leads_and_the_files_of_its_row_are_read_in_turn(tmp_path: Path) -> None:
    pod = tmp_path / "pods"
    pod.mkdir()
    (pod / "0.log").write_bytes(LONG[0] + b"\n")
    link = Followed(tmp_path, "container.log")
    link.path.symlink_to(pod / "0.log")
    link.begin()
    assert link.read() == [(1, LONG[0])]
    link.write(LONG[1] + b"\n", pod / "0.log")
    (pod / "0.log").rename(pod / "0.log.20240131-101010")
    for turn, (name, line) in enumerate((("0.log", LONG[2]), ("1.log", LONG[3]), ("2.log", LONG[4]))):
        (pod / name).write_bytes(line + b"\n")
        os.utime(pod / name, (4_000_000_000 + turn, 4_000_000_000 + turn))
    link.path.unlink()
    link.path.symlink_to(pod / "2.log")
    link.restart()
    assert [line for _, line in link.read(quiet=True)] == LONG[1:5]


def test_another_log_with_a_number_in_its_name_is_not_taken_for_a_rotated_one(log_file: Followed) -> None:
    log_file.write(LONG[0] + b"\n")
    log_file.begin()
    log_file.read()
    log_file.path.rename(log_file.path.with_name("app.log.1"))
    log_file.write(b"of another instance\n", log_file.path.with_name("app-2.log"))
    log_file.write(LONG[1] + b"\n")
    assert log_file.read(quiet=True) == [(2, LONG[1])]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"one\n"), "is packed by gzip and does not grow by lines; leave follow out"),
        ("one\r\ntwo\r\n".encode("utf-16"), "is UTF-16-LE; set encoding: utf-16"),
        ("one\r\ntwo\r\n".encode("utf-16-le"), "looks like UTF-16-LE without a mark .* set encoding: utf-16-le"),
        (b"PK\x03\x04", "is a ZIP archive"),
    ],
    ids=["gzip", "utf-16", "utf-16 without a mark", "xlsx"],
)
def test_what_cannot_be_followed_is_refused_before_anything_runs(log_file: Followed, content: bytes, said: str) -> None:
    log_file.path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        lines(log_file.path, follow=True).check()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "windows-1252"])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("is_read", [False, True])
def test_a_log_in_another_encoding_that_is_copied_and_truncated_loses_nothing(
    tmp_path: Path, encoding: str, restart: bool, is_read: bool
) -> None:
    path, clock = tmp_path / "app.log", ManualClock()
    raw = encoding.replace("utf-16", "utf-16-le") if encoding == "utf-16" else encoding

    def write(*texts: str) -> None:
        with path.open("ab") as file:
            file.write("".join(f"{text}\r\n" for text in texts).encode(raw))

    path.write_bytes(b"\xff\xfe" if encoding == "utf-16" else b"")
    write(*(f"the line Zoë {n}" for n in range(100)))
    source = FollowedFile(path, encoding=encoding, clock=clock)
    source.open(BEGINNING)
    seen = what_is_there(source, 30)
    write("José 100", "José 101")
    if is_read:
        seen += what_is_there(source)
    shutil.copy(path, tmp_path / "app.log.1")
    path.write_bytes(b"")
    if restart:
        source.close()
        source = FollowedFile(path, encoding=encoding, clock=clock)
        source.open(SourceStart(seen[-1].last_offset, seen[-1].cursor))
    seen += what_is_there(source)
    write("new Zoë")
    for _ in range(3):
        clock.advance(3)
        seen += what_is_there(source)
    source.close()
    texts = [value.decode() for batch in seen for value in batch.values]
    assert texts == [*(f"the line Zoë {n}" for n in range(100)), "José 100", "José 101", "new Zoë"]


def test_a_log_in_another_encoding_is_followed_over_restarts_and_rotations(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    clock = ManualClock()
    path.write_bytes("Zoë\r\nJo".encode("utf-16"))
    source = FollowedFile(path, encoding="utf-16", clock=clock)
    source.open(BEGINNING)
    found = what_is_there(source)
    assert numbered(found) == [(1, "Zoë".encode())]
    source.close()
    with path.open("ab") as file:
        file.write("sé\r\n€\r\n".encode("utf-16-le")[:-1])
    source = FollowedFile(path, encoding="utf-16", clock=clock)
    source.open(SourceStart(found[-1].last_offset, found[-1].cursor))
    assert numbered(what_is_there(source)) == [(2, "José".encode())]
    with path.open("ab") as file:
        file.write(b"\0")
    assert numbered(what_is_there(source)) == [(3, "€".encode())]
    path.rename(tmp_path / "app.log.1")
    path.write_bytes("new\n".encode("utf-16"))
    assert what_is_there(source) == []
    clock.advance(3)
    assert numbered(what_is_there(source)) == [(4, b"new")]
    source.close()


@pytest.mark.parametrize("way", WAYS)
def test_every_line_comes_once_however_far_the_reader_is_behind(tmp_path: Path, way: str) -> None:
    seed = int(os.environ.get("TEST_SEED", random.Random().randrange(1 << 32)))
    print(f"TEST_SEED={seed}")
    made = random.Random(f"{seed} {way}")
    writer = LogWriter(tmp_path / "logs", way, seed)
    writer.write(5)
    followed = Followed(writer.shown.parent, writer.shown.name)
    followed.begin()

    def read(reads: int) -> None:
        for _ in range(reads):
            followed.clock.advance(0.3)
            batch = followed.source.read(20)
            if batch.values:
                followed.seen.append(batch)

    read(5)
    for _ in range(60):
        writer.write(made.randrange(1, 30))
        if made.random() < 0.4:
            writer.rotate()
            writer.write(1)
        if made.random() < 0.4:
            read(made.randrange(1, 6))
        if made.random() < 0.1:
            followed.restart()
    read(2000)
    writer.close()
    numbers = [int(value.split()[1]) for batch in followed.seen for value in batch.values]
    assert numbers == [*range(writer.written)]
