"""What is particular to segments: a database that follows the log, frames that are cut short, files that go away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clock import ManualClock
from engine.core.errors import DataFolderError
from engine.core.records import WriteSource
from engine.core.unit import Acknowledgement, Message, Recovered, SourceProgress, Timer, Unit
from engine.log.findings import Damage, Verdict
from engine.log.local import segment_file
from engine.log.local import survey as segment_survey
from engine.log.local.floor import floor_path
from engine.log.local.format import (
    HEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    Head,
    encode_frame,
    encode_head,
    mark_of,
    segment_header,
)
from engine.log.local.identity import NOWHERE
from engine.log.local.inspection import Inspection
from engine.log.local.repair import repair
from engine.log.lost import LOST_INTENT
from engine.log.partition_log import PartitionLog
from engine.log.storage import Entry
from tests.support.logs import change, commands, copy_log, damage, frames, local_log, move_log, turn_byte
from tests.support.waiting import wait_until

# A frame of the batches below is longer: each is a segment of its own.
TINY = 64


def written(folder: Path, sizes: Sequence[int], *, applied: bool = True, segment_bytes: int = 1 << 20) -> Path:
    """A log of batches of these sizes, each a commit that puts a key; values count from 0.

    Not `applied`: as a crash leaves it, with nothing of it in the database.
    """
    running = folder.with_name(f"{folder.name} running")
    storage = local_log(running, synchronous="NORMAL", segment_bytes=segment_bytes)
    log = PartitionLog(1, storage, ManualClock(), committed=lambda _: None)
    log.open()
    for i, size in enumerate(sizes):
        unit = commands([{"n": log.last_position + n} for n in range(size)])
        unit.state = {f"key {i}": b"there"}
        log.append(unit)
    if not applied:
        copy_log(running, folder)
    log.close()
    if applied:
        move_log(running, folder)
    return folder


def firsts_of(sizes: Sequence[int]) -> list[int]:
    return [1 + sum(sizes[:i]) for i in range(len(sizes))]


def verified(folder: Path) -> Verdict:
    with Inspection(1, folder) as inspection:
        return inspection.verify()


def positions(damages: Sequence[Damage]) -> list[tuple[int, int]]:
    return [(d.first_position, d.last_position) for d in damages]


def opened(folder: Path) -> PartitionLog:
    log = PartitionLog(1, local_log(folder), ManualClock(), committed=lambda _: None)
    log.open()
    return log


def is_refused(folder: Path) -> bool:
    """Whether a start over a copy of the folder is."""
    copy = folder.with_name("copy")
    copy_log(folder, copy)
    try:
        opened(copy).close()
    except DataFolderError:
        return True
    return False


def intents(folder: Path) -> dict[int, str]:
    with Inspection(1, folder) as inspection:
        return {record.position: record.intent for record in inspection.records(1)}


def cut(file: Path, size: int) -> None:
    os.truncate(file, size)


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(at)
        opened_file.write(content)


def frame_for(segment: Path, offset: int, commit: int, position: int, unit: Unit) -> bytes:
    """What a commit without records would be at this place of the segment."""
    mark = mark_of(segment.read_bytes())
    assert mark is not None
    return b"".join(encode_frame(commit, position, [Entry(unit, None)], mark, offset))


NOTHING = Unit(source=WriteSource.INTERNAL)
FAR = 10**12


def with_a_head_inside(folder: Path, commit: int) -> tuple[Path, int, int]:
    """A log of two commits; in the records of the second lies what would be this commit, if it were one.

    Returns its segment, and where the second commit begins and ends.
    """
    running = folder.with_name("running")
    log = opened(running)
    log.append(commands(["a"]))
    log.append(commands(["x" * 20_000]))
    copy_log(running, folder)
    log.close()
    _, (segment, at, head, _) = frames(folder)
    inside = segment.read_bytes().index(b"x" * 1000) + 500
    overwrite(segment, inside, frame_for(segment, inside, commit, commit, NOTHING))
    return segment, at, at + head.frame_bytes


def recovered(folder: Path) -> Recovered:
    storage = local_log(folder)
    try:
        return storage.recover()
    finally:
        storage.close()


# -- the small state ---


def test_the_overview_is_the_same_before_and_after_the_database_hears_of_it(tmp_path: Path) -> None:
    running, image = tmp_path / "1", tmp_path / "image"
    log = opened(running)
    log.append(commands(["a", "b"]))
    log.append(
        Unit(
            source=WriteSource.INTERNAL,
            timers_added=[Timer(n, n, b"") for n in (1, 2, 3)],
            outbox=[Message(n, 2, b"") for n in (1, 2, 3)],
            progress=[SourceProgress("s", 7)],
            processed_position=2,
            acknowledged={"file": Acknowledgement("file", 1, b"c"), "other": Acknowledgement("other", 2, None)},
        )
    )
    log.append(Unit(source=WriteSource.INTERNAL, timers_fired=[1], delivered={2: 2}, state={"k": b"v"}))
    copy_log(running, image)
    log.close()
    for folder in (image, running):
        with Inspection(1, folder) as inspection:
            overview = inspection.overview()
        assert (overview.records, overview.last_position, overview.processed_position) == (2, 2, 2)
        assert overview.exporters == {"file": 1, "other": 2}
        assert (overview.timers, overview.outbox) == (2, 1)


# -- the end of a log that stopped ---


@pytest.mark.parametrize("left", [1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, -1])
@pytest.mark.parametrize("room", [0, 5000])
def test_a_commit_that_was_cut_short_is_no_damage_and_a_start_agrees(tmp_path: Path, left: int, room: int) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=False)
    (segment, at, head, _) = [*frames(folder)][-1]
    cut(segment, at + (left if left > 0 else head.frame_bytes + left))
    cut(segment, segment.stat().st_size + room)
    verdict = verified(folder)
    assert verdict.damages == ()
    assert 0 < verdict.unfinished_bytes < head.frame_bytes
    assert (verdict.overview.records, verdict.overview.last_position) == (4, 4)
    log = opened(folder)
    assert log.last_position == 4
    log.close()


def test_a_commit_whose_last_bytes_never_came_is_no_damage_and_a_start_agrees(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=False)
    damage(folder, 5)
    verdict = verified(folder)
    assert (verdict.damages, verdict.overview.last_position) == ((), 4)
    log = opened(folder)
    assert (log.last_position, log.storage.state_get("key 1"), log.storage.state_get("key 2")) == (4, b"there", None)
    log.close()


@pytest.mark.parametrize("part", ["head", "body", "records"])
def test_damage_in_front_of_a_commit_that_was_cut_short_is_damage_all_the_same(tmp_path: Path, part: str) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=False)
    _, (segment, at, head, _), (_, last_at, last, _) = frames(folder)
    turn_byte(segment, at + {"head": 5, "body": HEAD_BYTES, "records": head.frame_bytes - 1}[part])
    cut(segment, last_at + last.frame_bytes - 1)
    verdict = verified(folder)
    (found,) = verdict.damages
    assert (found.first_position, found.last_position, found.changes_lost) == (4, 4, part != "records")
    assert is_refused(folder) is found.changes_lost
    assert verdict.unfinished_bytes == last.frame_bytes - 1
    repair(folder, [found])
    again = verified(folder)
    assert (again.damages, again.unfinished_bytes, again.overview.last_position) == ((), 0, 4)
    log = opened(folder)
    assert log.last_position == 4
    log.close()


@pytest.mark.parametrize("commit", [3, FAR])
@pytest.mark.parametrize("room", [0, 20_000])
def test_a_commit_that_was_cut_short_ends_the_log_whatever_its_records_hold(
    tmp_path: Path, room: int, commit: int
) -> None:
    folder = tmp_path / "1"
    segment, at, _ = with_a_head_inside(folder, commit)
    cut(segment, at + HEAD_BYTES + 4000)
    cut(segment, at + HEAD_BYTES + 4000 + room)
    floor_path(folder).unlink()
    verdict = verified(folder)
    assert verdict.damages == ()
    assert 4000 < verdict.unfinished_bytes <= HEAD_BYTES + 4000
    assert recovered(folder).last_position == 1


def test_what_lies_in_a_damaged_commit_makes_no_more_lost_than_could_lie_there(tmp_path: Path) -> None:
    folder = tmp_path / "1"
    segment, at, end = with_a_head_inside(folder, FAR)
    cut(segment, end)
    overwrite(segment, end, frame_for(segment, end, 3, 3, NOTHING))
    turn_byte(segment, at)
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.commits) == (2, 2, (2, 2))


def test_a_repair_refuses_to_fill_a_gap_beyond_all_bounds_and_changes_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], segment_bytes=TINY)
    last = max(folder.glob("*.log"))
    last.rename(last.with_name(f"{FAR:020d}-{FAR:020d}.log"))
    damages = verified(folder).damages
    assert (9, FAR - 1) in positions(damages)
    before = {file.name: file.read_bytes() for file in folder.glob("*.log")}
    with pytest.raises(DataFolderError, match=f"positions 9 to {FAR - 1} are too many to be replaced one by one"):
        repair(folder, damages)
    assert {file.name: file.read_bytes() for file in folder.glob("*.log")} == before


def test_a_segment_whose_header_was_never_finished_is_no_damage_and_a_start_agrees(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1], applied=False)
    for size in (0, 7, SEGMENT_HEADER_BYTES + 30):
        begun = folder / f"{3:020d}-{5:020d}.log"
        begun.write_bytes(segment_header(b"never ok", NOWHERE)[:7].ljust(size, b"\0")[:size])
        verdict = verified(folder)
        assert (verdict.damages, verdict.unfinished_bytes) == ((), min(size, 5))
        assert verdict.overview.last_position == 4
        assert not is_refused(folder)
        shutil.rmtree(folder.with_name("copy"))


@pytest.mark.parametrize("applied", [False, True])
def test_what_stands_behind_the_last_commit_of_an_earlier_segment_is_nobodys(tmp_path: Path, applied: bool) -> None:
    folder = written(tmp_path / "1", [3, 1], applied=applied, segment_bytes=TINY)
    first = min(folder.glob("*.log"))
    overwrite(first, first.stat().st_size + 5000, b"no commit")
    assert verified(folder).damages == ()
    assert not is_refused(folder)
    assert intents(folder) == dict.fromkeys(range(1, 5), "create")


# -- headers ---


@pytest.mark.parametrize("applied", [False, True])
def test_a_header_that_is_damaged_alone_takes_nothing_with_it(tmp_path: Path, applied: bool) -> None:
    folder = written(tmp_path / "1", [3, 1], applied=applied)
    (segment,) = folder.glob("*.log")
    turn_byte(segment, 9)
    verdict = verified(folder)
    (found,) = verdict.damages
    assert (found.records, found.commits, found.changes_lost) == (0, None, False)
    assert verdict.overview.records == 4
    assert not is_refused(folder)
    assert set(intents(folder).values()) == {"create"}
    repair(folder, [found])
    assert verified(folder).damages == ()
    assert intents(folder) == dict.fromkeys(range(1, 5), "create")


def test_with_header_and_first_head_all_of_a_segment_is_lost_and_the_log_goes_on(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=False)
    (segment,) = folder.glob("*.log")
    overwrite(segment, 0, bytes(SEGMENT_HEADER_BYTES + 1))
    assert is_refused(folder)
    (found,) = verified(folder).damages
    # Nobody knows what was in it.
    assert (found.records, found.commits, found.changes_lost) == (0, (1, 1), True)
    repair(folder, [found])
    assert verified(folder).damages == ()
    log = opened(folder)
    assert log.last_position == 0
    log.append(commands(["more"]))
    log.close()
    assert intents(folder) == {1: "create"}


def test_what_nobody_knows_of_the_last_segment_may_have_been_changes_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4])
    (*_, (segment, last_at, _, _)) = frames(folder)
    overwrite(segment, 0, bytes(SEGMENT_HEADER_BYTES + 1))
    turn_byte(segment, last_at)
    assert is_refused(folder)
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.changes_lost) == (1, 8, True)
    repair(folder, [found])
    assert verified(folder).damages == ()
    assert intents(folder) == dict.fromkeys(range(1, 9), LOST_INTENT)
    log = opened(folder)
    assert (log.last_position, log.storage.state_get("key 2")) == (8, b"there")
    log.close()


def test_what_the_database_knows_of_a_segment_tells_its_commits_without_header_and_first_head(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4])
    (segment,) = folder.glob("*.log")
    overwrite(segment, 0, bytes(SEGMENT_HEADER_BYTES + 1))
    assert not is_refused(folder)
    damages = verified(folder).damages
    assert positions(damages) == [(1, 0), (1, 3)]
    repair(folder, damages)
    assert verified(folder).damages == ()
    assert intents(folder) == {n: LOST_INTENT if n < 4 else "create" for n in range(1, 9)}


def test_a_repaired_segment_has_a_mark_of_its_own(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1])
    (segment,) = folder.glob("*.log")
    before = mark_of(segment.read_bytes())
    damage(folder, 4)
    repair(folder, verified(folder).damages)
    assert mark_of(segment.read_bytes()) != before
    assert verified(folder).damages == ()


def test_room_for_what_will_come_is_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1])
    (segment,) = folder.glob("*.log")
    cut(segment, segment.stat().st_size + 10_000)
    verdict = verified(folder)
    assert (verdict.damages, verdict.unfinished_bytes, verdict.overview.last_position) == ((), 0, 4)


@pytest.mark.parametrize("left", [0, 1, HEAD_BYTES, -1])
def test_an_end_that_the_database_knows_is_damage_when_it_is_gone(tmp_path: Path, left: int) -> None:
    folder = written(tmp_path / "1", [3, 1, 4])
    (segment, at, head, _) = [*frames(folder)][-1]
    cut(segment, at + (left if left >= 0 else head.frame_bytes + left))
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.changes_lost) == (5, 8, False)
    repair(folder, [found])
    assert verified(folder).damages == ()
    assert intents(folder) == {n: "create" if n < 5 else LOST_INTENT for n in range(1, 9)}
    log = opened(folder)
    assert (log.last_position, log.storage.state_get("key 2")) == (8, b"there")
    log.close()


# -- damage that takes changes with it ---


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_damaged_commit_that_the_database_does_not_know_is_said_and_repaired_without_its_changes(
    tmp_path: Path, where: str
) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=False)
    (segment, at, _, _) = [*frames(folder)][1]
    turn_byte(segment, at + (5 if where == "head" else HEAD_BYTES + 1))
    with pytest.raises(DataFolderError, match=r"behind position 3.*penstock log verify"):
        opened(folder)
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.commits) == (4, 4, (2, 2))
    assert found.changes_lost
    repair(folder, [found])
    assert verified(folder).damages == ()
    log = opened(folder)
    assert log.last_position == 8
    assert [log.storage.state_get(f"key {i}") for i in range(3)] == [b"there", None, b"there"]
    log.append(commands(["more"]))
    log.close()
    assert intents(folder) == {n: LOST_INTENT if n == 4 else "create" for n in range(1, 10)}


@pytest.mark.parametrize("applied", [False, True])
def test_records_that_are_damaged_do_not_take_the_changes_of_their_commit_with_them(
    tmp_path: Path, applied: bool
) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=applied)
    damage(folder, 4)
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.changes_lost) == (4, 4, False)
    repair(folder, [found])
    log = opened(folder)
    assert [log.storage.state_get(f"key {i}") for i in range(3)] == [b"there"] * 3
    log.close()
    assert intents(folder) == {n: LOST_INTENT if n == 4 else "create" for n in range(1, 9)}


@pytest.mark.parametrize("applied", [False, True])
def test_a_damaged_commit_without_records_is_found_and_repaired_too(tmp_path: Path, applied: bool) -> None:
    running, image = tmp_path / "1", tmp_path / "image"
    log = opened(running)
    log.append(commands(["a"]))
    log.append(Unit(source=WriteSource.INTERNAL, processed_position=1))
    log.append(commands(["b"]))
    copy_log(running, image)
    log.close()
    folder = running if applied else image
    (segment, at, _, _) = [*frames(folder)][1]
    turn_byte(segment, at + HEAD_BYTES)
    (found,) = verified(folder).damages
    assert (found.records, found.commits, found.changes_lost) == (0, (2, 2), not applied)
    repair(folder, [found])
    assert verified(folder).damages == ()
    log = opened(folder)
    assert log.last_position == 2
    log.close()


@pytest.mark.parametrize("applied_later", [False, True])
def test_no_number_of_a_timer_or_message_is_given_twice_after_a_repair(tmp_path: Path, applied_later: bool) -> None:
    running, folder = tmp_path / "running", tmp_path / "1"
    log = opened(running)
    log.append(commands(["a"]))
    for first in (1, 4):
        log.append(
            Unit(
                source=WriteSource.INTERNAL,
                timers_added=[Timer(n, n, b"") for n in range(first, first + 3)],
                outbox=[Message(n, 2, b"") for n in range(first, first + 3)],
            )
        )
    log.append(Unit(source=WriteSource.INTERNAL, timers_added=[Timer(7, 7, b"")], outbox=[Message(7, 2, b"")]))
    copy_log(running, folder)
    log.close()
    _, first, second, _ = frames(folder)
    for segment, at, _, _ in (first, second):
        turn_byte(segment, at + HEAD_BYTES)
    repair(folder, verified(folder).damages)
    if applied_later:
        recovered(folder)
    found = recovered(folder)
    assert found.next_timer_id > 7
    assert found.next_sequence > 7
    # All that is left of them.
    assert [timer.timer_id for timer in found.timers] == [7]
    assert [message.sequence for message in found.outbox] == [7]
    assert found.received == {}
    overview = verified(folder).overview
    assert (overview.timers, overview.outbox) == (1, 1)


def test_the_last_lost_numbers_are_not_given_twice_either(tmp_path: Path) -> None:
    running, folder = tmp_path / "running", tmp_path / "1"
    log = opened(running)
    log.append(commands(["a"]))
    log.append(
        Unit(
            source=WriteSource.INTERNAL,
            timers_added=[Timer(n, n, b"") for n in range(1, 1001)],
            outbox=[Message(n, 2, b"") for n in range(1, 1001)],
        )
    )
    log.append(commands(["b"]))
    copy_log(running, folder)
    log.close()
    _, (segment, at, _, _), _ = frames(folder)
    turn_byte(segment, at + HEAD_BYTES)
    repair(folder, verified(folder).damages)
    found = recovered(folder)
    assert found.next_timer_id > 1000
    assert found.next_sequence > 1000
    assert (found.timers, found.outbox) == ([], [])


def test_what_a_receiver_has_stored_was_given_too(tmp_path: Path) -> None:
    log = opened(tmp_path / "1")
    log.append(Unit(source=WriteSource.INTERNAL, delivered={2: 3}))
    copy_log(tmp_path / "1", tmp_path / "image")
    log.close()
    assert recovered(tmp_path / "image").next_sequence == 4
    assert recovered(tmp_path / "1").next_sequence == 4


# -- segments that are not there ---


@pytest.mark.parametrize("applied", [False, True])
def test_a_segment_in_the_middle_that_is_gone_is_missing(tmp_path: Path, applied: bool) -> None:
    folder = written(tmp_path / "1", [3, 1, 4, 2], applied=applied, segment_bytes=TINY)
    segments = sorted(folder.glob("*.log"))
    assert len(segments) == 4
    segments[1].unlink()
    segments[2].unlink()
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.commits) == (4, 8, (2, 3))
    assert found.changes_lost is not applied
    repair(folder, [found])
    assert verified(folder).damages == ()
    assert intents(folder) == {n: LOST_INTENT if 4 <= n <= 8 else "create" for n in range(1, 11)}
    log = opened(folder)
    assert log.last_position == 10
    log.close()


@pytest.mark.parametrize("segment_bytes", [TINY, 1 << 20])
def test_what_is_lost_on_both_sides_of_what_the_database_knows_is_told_and_replaced_apart(
    tmp_path: Path, segment_bytes: int
) -> None:
    running, folder = tmp_path / "running", tmp_path / "1"
    for batches in ([3, 2], [1, 4, 2]):
        log = PartitionLog(1, local_log(running, segment_bytes=segment_bytes), ManualClock(), committed=lambda _: None)
        log.open()
        for size in batches:
            unit = commands([{"n": n} for n in range(size)])
            unit.timers_added = [Timer(log.last_position + 1, 1, b"")]
            log.append(unit)
        copy_log(running, folder.with_name(f"after {len(batches)}"))
        log.close()
    (tmp_path / "after 3").rename(folder)
    floor_path(tmp_path / "after 3").rename(floor_path(folder))
    for segment, at, head, _ in [*frames(folder)][1:4]:
        if segment_bytes == TINY:
            segment.unlink()
        else:
            overwrite(segment, at, bytes(head.frame_bytes))
    known, unknown = verified(folder).damages
    assert (known.first_position, known.last_position, known.commits, known.changes_lost) == (4, 5, (2, 2), False)
    assert (unknown.first_position, unknown.last_position, unknown.commits) == (6, 10, (3, 4))
    assert unknown.changes_lost
    assert is_refused(folder)

    repair(folder, [known, unknown])

    assert verified(folder).damages == ()
    assert intents(folder) == {n: LOST_INTENT if 4 <= n <= 10 else "create" for n in range(1, 13)}
    found = recovered(folder)
    assert found.last_position == 12
    # Of the timers those with number 6 and 7 are lost; nobody gets their numbers.
    assert [timer.timer_id for timer in found.timers] == [1, 4, 11]
    assert found.next_timer_id > 11


def test_a_first_segment_that_the_database_does_not_know_is_missing_when_it_is_gone(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4], applied=False, segment_bytes=TINY)
    min(folder.glob("*.log")).unlink()
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position, found.commits) == (1, 3, (1, 1))
    assert found.changes_lost
    repair(folder, [found])
    assert verified(folder).damages == ()
    assert intents(folder) == {n: LOST_INTENT if n <= 3 else "create" for n in range(1, 9)}


def test_without_a_segment_all_that_was_not_deleted_is_missing(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1])
    (segment,) = folder.glob("*.log")
    segment.unlink()
    (found,) = verified(folder).damages
    assert (found.first_position, found.last_position) == (1, 4)
    repair(folder, [found])
    assert verified(folder).damages == ()
    log = opened(folder)
    assert (log.last_position, log.storage.state_get("key 1")) == (4, b"there")
    log.append(commands(["more"]))
    log.close()
    assert intents(folder) == {1: LOST_INTENT, 2: LOST_INTENT, 3: LOST_INTENT, 4: LOST_INTENT, 5: "create"}


def test_without_a_segment_and_a_word_of_what_was_in_it_a_commit_is_missing(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [1], applied=False)
    (segment,) = folder.glob("*.log")
    segment.unlink()
    assert is_refused(folder)
    (found,) = verified(folder).damages
    assert (found.records, found.commits, found.changes_lost) == (0, (1, 1), True)
    repair(folder, [found])
    assert verified(folder).damages == ()
    log = opened(folder)
    assert log.last_position == 0
    log.close()


def test_segments_that_retention_deleted_are_not_missing(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4, 2], segment_bytes=TINY)
    log = opened(folder)
    assert log.delete_before(5, 100) == 2
    log.close()
    assert len([*folder.glob("*.log")]) == 2
    verdict = verified(folder)
    assert verdict.is_whole
    assert (verdict.overview.oldest_position, verdict.overview.records) == (5, 6)


def test_segments_that_nobody_deleted_are_missing_and_refused_at_the_front_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4, 2], segment_bytes=TINY)
    for segment in sorted(folder.glob("*.log"))[:2]:
        segment.unlink()
    assert positions(verified(folder).damages) == [(1, 4)]
    with pytest.raises(DataFolderError, match="its oldest segments are gone, with positions 1 to 4; bring it back"):
        opened(folder)
    repair(folder, verified(folder).damages)
    assert intents(folder) == {n: LOST_INTENT if n <= 4 else "create" for n in range(1, 11)}
    opened(folder).close()


# -- any damage ---


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    segment_bytes=st.sampled_from([TINY, 400, 1 << 20]),
    applied=st.booleans(),
    hits=st.lists(st.tuples(st.integers(0, 7), st.floats(0, 1, exclude_max=True)), max_size=3),
)
def test_a_repair_makes_any_log_whole_and_loses_nothing_but_what_was_hit(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    segment_bytes: int,
    applied: bool,
    hits: list[tuple[int, float]],
) -> None:
    folder = tmp_path_factory.mktemp("repair") / "1"
    written(folder, sizes, applied=applied, segment_bytes=segment_bytes)
    there = [*frames(folder)]
    # The end of a log that was not closed is cut off instead.
    hit = {i: part for i, part in hits if i < len(sizes) - (0 if applied else 1)}
    for index, part in hit.items():
        segment, at, head, _ = there[index]
        turn_byte(segment, at + int(part * head.frame_bytes))
    firsts = firsts_of(sizes)
    lost = {firsts[i] + n for i in hit for n in range(sizes[i])}
    verdict = verified(folder)
    assert {p for d in verdict.damages for p in range(d.first_position, d.last_position + 1)} == lost
    assert verdict.unfinished_bytes == 0

    repair(folder, verdict.damages)

    again = verified(folder)
    assert (again.damages, again.unfinished_bytes) == ((), 0)
    assert intents(folder) == {n: LOST_INTENT if n in lost else "create" for n in range(1, sum(sizes) + 1)}
    log = opened(folder)
    assert log.last_position == sum(sizes)
    for i in range(len(sizes)):
        assert log.storage.state_get(f"key {i}") == b"there" or (i in hit and not applied)
    log.append(commands(["more"]))
    assert [r.position for b in log.read(1, 1000) for r in b.records] == list(range(1, sum(sizes) + 2))
    log.close()


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    segment_bytes=st.sampled_from([TINY, 400, 1 << 20]),
    applied=st.booleans(),
    faults=st.lists(
        st.tuples(st.sampled_from(["zeros", "noise", "cut", "gone"]), st.integers(0, 7), st.floats(0, 1), st.binary()),
        min_size=1,
        max_size=3,
    ),
)
def test_whatever_befalls_segments_a_repair_lets_the_log_go_on_without_a_gap(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    segment_bytes: int,
    applied: bool,
    faults: list[tuple[str, int, float, bytes]],
) -> None:
    folder = tmp_path_factory.mktemp("repair") / "1"
    written(folder, sizes, applied=applied, segment_bytes=segment_bytes)
    for kind, number, part, noise in faults:
        segments = sorted(folder.glob("*.log"))
        if number >= len(segments):
            continue
        content = bytearray(segments[number].read_bytes())
        at = int(part * len(content))
        if kind == "gone":
            segments[number].unlink()
        elif kind == "cut":
            cut(segments[number], at)
        else:
            content[at : at + len(noise)] = noise if kind == "noise" else bytes(len(noise))
            segments[number].write_bytes(content)

    damages = verified(folder).damages
    refused = is_refused(folder)
    assert refused or not any(found.changes_lost for found in damages)
    assert damages or not refused

    repair(folder, damages)

    verdict = verified(folder)
    assert verdict.damages == ()
    oldest, last = verdict.overview.oldest_position, verdict.overview.last_position
    assert not applied or last == sum(sizes)
    assert [*intents(folder)] == list(range(oldest, last + 1))
    log = opened(folder)
    assert log.last_position == last
    log.append(commands(["more"]))
    assert [r.position for b in log.read(1, 1000) for r in b.records] == list(range(oldest, last + 2))
    log.close()
    assert verified(folder).damages == ()


def test_a_crash_in_the_middle_of_a_repair_leaves_each_segment_as_it_was_or_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "1", [3, 1, 4, 2], segment_bytes=TINY)
    damage(folder, 1)
    damage(folder, 5)
    replace, replaced = Path.replace, []

    def dies_at_the_second(path: Path, target: Any) -> Path:
        if replaced:
            raise KeyboardInterrupt
        replaced.append(path)
        return replace(path, target)

    damages = verified(folder).damages
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            repair(folder, damages)
    left = verified(folder).damages
    assert positions(left) == [(5, 8)]
    repair(folder, left)
    assert verified(folder).damages == ()
    assert [p.suffix for p in folder.iterdir() if p.name[0] == "0"] == [".log"] * 4


def test_a_repair_touches_nothing_when_more_is_damaged_than_was_agreed_to(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [3, 1, 4])
    damage(folder, 1)
    agreed = verified(folder).damages
    damage(folder, 4)
    with pytest.raises(DataFolderError, match="verify it again"):
        repair(folder, agreed)
    assert positions(verified(folder).damages) == [(1, 3), (4, 4)]


# -- beside a running engine ---


def test_records_are_read_on_behind_what_is_deleted_meanwhile(tmp_path: Path) -> None:
    storage = local_log(tmp_path / "1", segment_bytes=TINY, apply_log_bytes=1)
    log = PartitionLog(1, storage, ManualClock(), committed=lambda _: None)
    log.open()
    for n in range(10):
        log.append(commands([n]))
    with Inspection(1, tmp_path / "1") as inspection:
        records = inspection.records(1)
        assert next(records).position == 1
        assert wait_until(lambda: storage.delete_before(7, 100) + len([*(tmp_path / "1").glob("*.log")]) <= 5)
        # What it has opened before stays readable; then it goes on with what is there.
        assert [record.position for record in records][-3:] == [8, 9, 10]
        assert inspection.verify().damages == ()
    log.close()


def test_segments_that_are_deleted_while_they_are_verified_are_neither_counted_nor_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "1", [1, 2, 3, 4, 5], segment_bytes=TINY)
    damage(folder, 1)
    fault_of = segment_survey.fault_of

    def deletes(batch: Any) -> str | None:
        for segment in sorted(folder.glob("*.log"))[:-2]:
            segment.unlink()
        return fault_of(batch)

    monkeypatch.setattr(segment_survey, "fault_of", deletes)
    verdict = verified(folder)
    assert verdict.damages == ()
    assert (verdict.overview.oldest_position, verdict.overview.last_position) == (7, 15)
    assert (verdict.overview.batches, verdict.overview.records) == (2, 9)


def test_a_database_that_is_behind_segments_that_are_gone_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = tmp_path / "1"
    log = PartitionLog(1, local_log(running, segment_bytes=TINY), ManualClock(), committed=lambda _: None)
    log.open()
    for n in range(4):
        log.append(commands([n]))
    listdir = os.listdir

    def goes_on_first(folder: Path) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        log.close()
        again = opened(running)
        assert again.delete_before(3, 100) == 2
        again.close()
        return listdir(folder)

    with Inspection(1, running) as inspection:
        monkeypatch.setattr(os, "listdir", goes_on_first)
        verdict = inspection.verify()
    assert verdict.damages == ()
    assert (verdict.overview.oldest_position, verdict.overview.records) == (3, 2)


def test_a_commit_that_was_under_way_when_it_was_looked_at_is_no_damage_once_others_stand_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "1", [1, 1])
    (segment,) = folder.glob("*.log")
    unit = Unit(source=WriteSource.INTERNAL, processed_position=2)
    size = segment.stat().st_size
    first = frame_for(segment, size, 3, 3, unit)
    both = [first, frame_for(segment, size + len(first), 4, 3, unit)]
    with segment.open("ab") as file:
        file.write(both[0][:50])
    following = segment_file.SegmentFile.following

    def goes_on_first(*arguments: Any) -> Any:
        monkeypatch.undo()
        with segment.open("ab") as file:
            file.write(both[0][50:] + both[1])
        return following(*arguments)

    monkeypatch.setattr(segment_file.SegmentFile, "following", goes_on_first)
    verdict = verified(folder)
    assert (verdict.damages, verdict.unfinished_bytes) == ((), 0)
    assert verdict.overview.processed_position == 2


def test_a_commit_that_was_under_way_at_two_looks_is_no_damage_once_the_third_finds_another_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "1", [1, 1])
    (segment,) = folder.glob("*.log")
    unit = Unit(source=WriteSource.INTERNAL, processed_position=2)
    size = segment.stat().st_size
    first = frame_for(segment, size, 3, 3, unit)
    second = frame_for(segment, size + len(first), 4, 3, unit)
    # Its head is there, and room for the rest.
    overwrite(segment, size, first[: HEAD_BYTES + 1].ljust(len(first) + 5000, b"\0"))
    frame = segment_file.SegmentFile.frame

    def goes_on_after(*arguments: Any, again: bool = False) -> Any:
        found = frame(*arguments, again=again)
        if again and found is not None and found.why:
            monkeypatch.undo()
            overwrite(segment, size, first + second)
        return found

    monkeypatch.setattr(segment_file.SegmentFile, "frame", goes_on_after)
    verdict = verified(folder)
    assert (verdict.damages, verdict.unfinished_bytes) == ((), 0)
    assert verdict.overview.processed_position == 2


# -- what cannot be looked at ---


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_is_refused_with_both_numbers(tmp_path: Path, version: int) -> None:
    folder = written(tmp_path / "1", [1])
    change(folder / "state.db", "UPDATE meta SET value = ? WHERE key = 'format'", version)
    with pytest.raises(DataFolderError, match=f"has format {version}, this version reads format 2"):
        verified(folder)


def test_a_commit_that_is_whole_and_says_what_nobody_understands_is_refused_and_not_replaced(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [1])
    (segment,) = folder.glob("*.log")
    mark, size, body = mark_of(segment.read_bytes()), segment.stat().st_size, b"\xc1"
    assert mark is not None
    overwrite(segment, size, encode_head(Head(len(body), 0, 2, 2, 0, crc32(body)), mark, size) + body)
    with pytest.raises(DataFolderError, match="commit 2 is whole, and this version cannot read it"):
        verified(folder)
    assert is_refused(folder)


def test_a_folder_without_its_database_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "1", [1])
    (folder / "state.db").unlink()
    with pytest.raises(DataFolderError, match=r"state\.db is gone; bring it back from a copy, together with"):
        verified(folder)
