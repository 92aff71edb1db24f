"""The end of a segment: what was refused is not there, whatever refused it and whatever comes next."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.log.local.disk import Disk
from engine.log.local.format import SEGMENT_HEADER_BYTES, new_mark, read_header, segment_header
from engine.log.local.identity import NOWHERE
from engine.log.local.segment_writer import SegmentWriter
from engine.log.storage import StorageError
from tests.engine.log.local.test_storage import entry, values
from tests.support.disks import FaultyDisk
from tests.support.logs import local_log


class InterruptedDisk(Disk):
    """Somebody presses ^C once the call is done."""

    def __init__(self, call: str) -> None:
        self.call: str | None = call

    def _interrupted(self, call: str) -> None:
        if self.call == call:
            self.call = None
            raise KeyboardInterrupt

    def write(self, *arguments: object) -> None:
        super().write(*arguments)  # type: ignore[arg-type]
        self._interrupted("write")

    def sync(self, file: int) -> None:
        super().sync(file)
        self._interrupted("sync")


def begun(path: Path, disk: Disk) -> SegmentWriter:
    return SegmentWriter.begin(path, identity=NOWHERE, disk=disk, syncs=True)


def test_a_segment_is_its_header_before_anything_else(tmp_path: Path) -> None:
    calls: list[str] = []

    class WatchedDisk(Disk):
        def sync(self, file: int) -> None:
            super().sync(file)
            assert read_header((tmp_path / "s").read_bytes()) is not None
            calls.append("sync")

    writer = begun(tmp_path / "s", WatchedDisk())
    assert calls == ["sync"]
    assert writer.end == SEGMENT_HEADER_BYTES
    writer.close()
    assert (tmp_path / "s").read_bytes() == segment_header(writer.mark, NOWHERE)


@pytest.mark.parametrize("call", ["cut", "write", "sync"])
def test_a_segment_that_could_not_be_begun_is_begun_anew(call: str, tmp_path: Path) -> None:
    disk = FaultyDisk()
    (tmp_path / "s").write_bytes(b"left by an earlier try" * 10)
    disk.faults[call] = [errno.EIO]
    with pytest.raises(OSError, match="Input/output"):
        begun(tmp_path / "s", disk)
    writer = begun(tmp_path / "s", disk)
    writer.close()
    assert (tmp_path / "s").read_bytes() == segment_header(writer.mark, NOWHERE)


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_frame_whose_append_was_interrupted_is_not_there(call: str, tmp_path: Path) -> None:
    disk = InterruptedDisk("nothing")
    writer = begun(tmp_path / "s", disk)
    first = writer.append([b"first"], 5)
    disk.call = call
    with pytest.raises(KeyboardInterrupt):
        writer.append([b"interrupted"], 11)
    assert (tmp_path / "s").read_bytes().rstrip(b"\0").endswith(b"first")
    assert writer.append([b"second"], 6) == first + 5
    writer.close()
    assert (tmp_path / "s").read_bytes() == segment_header(writer.mark, NOWHERE) + b"firstsecond"


def refused_twice(writer: SegmentWriter, disk: FaultyDisk) -> None:
    disk.faults = {"sync": [errno.EIO], "cut": [errno.EIO]}
    with pytest.raises(OSError, match="Input/output") as raised:
        writer.append([b"refused"], 7)
    assert "nor could what was written be cut off" in raised.value.__notes__[0]


def test_closing_cuts_off_what_was_refused_and_could_not_be_cut_off_then(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = begun(tmp_path / "s", disk)
    writer.append([b"stored"], 6)
    refused_twice(writer, disk)
    writer.close()
    assert (tmp_path / "s").read_bytes() == segment_header(writer.mark, NOWHERE) + b"stored"


def test_closing_over_a_disk_that_refuses_everything_says_what_may_be_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FaultyDisk()
    writer = begun(tmp_path / "s", disk)
    refused_twice(writer, disk)
    disk.faults = {"cut": [errno.EIO]}
    with caplog.at_level(logging.WARNING):
        writer.close()
    assert "what was refused may be there at the next start" in caplog.text


@pytest.mark.parametrize("refusing", [FaultyDisk, lambda: InterruptedDisk("nothing")], ids=["EIO", "^C"])
def test_a_refused_commit_does_not_come_back_with_the_next_start(refusing: Callable[[], Disk], tmp_path: Path) -> None:
    disk = refusing()
    storage = local_log(tmp_path / "1", disk=disk)
    storage.recover()
    storage.commit([entry(1, state={"a": b"stored"})])
    if isinstance(disk, FaultyDisk):
        disk.faults = {"sync": [errno.EIO], "cut": [errno.EIO]}
    elif isinstance(disk, InterruptedDisk):
        disk.call = "sync"
    with pytest.raises((StorageError, KeyboardInterrupt)):
        storage.commit([entry(2, state={"a": b"refused"})])
    storage.close()
    storage = local_log(tmp_path / "1")
    assert storage.recover().last_position == 1
    assert storage.state_get("a") == b"stored"
    assert values(storage) == [1]
    storage.close()


def test_a_header_is_made_whole_by_who_knows_its_mark(tmp_path: Path) -> None:
    mark = new_mark()
    (tmp_path / "s").write_bytes(bytes(SEGMENT_HEADER_BYTES) + b"frames")
    writer = SegmentWriter(tmp_path / "s", SEGMENT_HEADER_BYTES + 6, mark, identity=NOWHERE, disk=Disk(), syncs=True)
    writer.restore_header()
    writer.close()
    assert (tmp_path / "s").read_bytes() == segment_header(mark, NOWHERE) + b"frames"
