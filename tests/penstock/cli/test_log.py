"""`penstock log`: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.clock import ManualClock
from engine.log.partition_log import PartitionLog
from engine.runtime.data_folder import DataFolder
from penstock.cli.ending import ended
from penstock.cli.main import commands
from tests.support.logs import change, contents, damage, data_folder, frames, local_log, turn_byte
from tests.support.logs import commands as commands_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capfdbinary: pytest.CaptureFixture[bytes]) -> Call:
    def invoke(*arguments: object) -> tuple[int, str, str]:
        code = ended(lambda: commands.main(["log", *map(str, arguments)], prog_name="penstock", standalone_mode=False))
        captured = capfdbinary.readouterr()
        return code, captured.out.decode(), captured.err.decode()

    return invoke


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_folder(tmp_path / "data", [3, 2], partitions=2)


def lies_in(data: Path, partition: int = 1) -> Path:
    return DataFolder(data).partition_path(partition)


def test_ls_says_where_everybody_stands(call: Call, data: Path) -> None:
    code, out, err = call("ls", data)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "pipeline p, 2 partitions"
    assert lines[1:8] == [
        "partition 1",
        "  records        5 in 2 batches",
        "  positions      1 to 5",
        "  written        2023-11-14 22:13:20Z to 2023-11-14 22:13:21Z",
        f"  size           {lines[5].split()[1]} MB, {lies_in(data)}",
        "  processed      4",
        "  exporter file  2",
    ]
    assert "partition 2" in lines


def test_ls_of_a_log_without_records_leaves_out_what_there_is_not(call: Call, tmp_path: Path) -> None:
    _, out, _ = call("ls", data_folder(tmp_path / "data", []))
    assert "positions      none" in out
    assert "written" not in out


def test_cat_prints_each_record_as_a_line_of_json(call: Call, data: Path) -> None:
    code, out, err = call("cat", data)
    assert (code, err) == (0, "")
    said = [json.loads(line) for line in out.splitlines()]
    assert [(s["partition"], s["position"]) for s in said] == [(p, n) for p in (1, 2) for n in range(1, 6)]
    assert said[1] == {
        "position": 2,
        "partition": 1,
        "timestamp": 1_700_000_000_000,
        "recordType": "command",
        "valueType": "t",
        "intent": "create",
        "key": "k1",
        "value": {"n": 1},
        "sourcePosition": -1,
    }


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--partition", 2], [(2, n) for n in range(1, 6)]),
        (["--from", 4], [(1, 4), (1, 5), (2, 4), (2, 5)]),
        (["--partition", 1, "--from", 2, "--to", 3], [(1, 2), (1, 3)]),
        (["--limit", 1], [(1, 1), (2, 1)]),
        (["--limit", 0], []),
        (["--from", 6], []),
    ],
)
def test_cat_prints_what_was_asked_for(
    call: Call, data: Path, options: list[object], found: list[tuple[int, int]]
) -> None:
    _, out, _ = call("cat", data, *options)
    assert [(s["partition"], s["position"]) for s in map(json.loads, out.splitlines())] == found


def test_cat_names_what_json_cannot_say_and_goes_on(call: Call, data: Path) -> None:
    log = PartitionLog(
        1, local_log(lies_in(data), identity=DataFolder(data).identity(1)), ManualClock(), committed=lambda _: None
    )
    log.open()
    log.append(commands_of([{(1, 2): 3}, "behind it"]))
    log.close()
    code, out, err = call("cat", data)
    assert code == 1
    assert [(s["partition"], s["position"]) for s in map(json.loads, out.splitlines())] == [
        (partition, n) for partition, last in ((1, 7), (2, 5)) for n in range(1, last + 1) if (partition, n) != (1, 6)
    ]
    assert err.startswith("partition 1, position 6: JSON cannot say its value: ")
    assert err.count("\n") == 1


def test_cat_into_a_pipe_that_is_closed_early_ends_quietly(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data", [5000])
    command = f"{sys.executable} -m penstock log cat {folder} | head -n 1"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.count("\n") == 1
    assert ran.stderr == ""


def test_verify_of_a_whole_log_ends_with_0(call: Call, data: Path) -> None:
    code, out, err = call("verify", data)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"partition {n}: 5 records in 2 batches, positions 1 to 5: all whole" for n in (1, 2)
    ]  # fmt: skip


def test_verify_names_what_is_damaged_and_who_had_no_use_of_it_yet_and_ends_with_1(call: Call, data: Path) -> None:
    damage(lies_in(data), 4)
    code, out, _ = call("verify", data)
    assert code == 1
    assert out.splitlines() == [
        "partition 1: 5 records in 2 batches, positions 1 to 5: DAMAGED",
        "  positions 4 to 5: its checksum does not match its content (2 records, written about 2023-11-14 22:13:21Z)",
        "    not processed, if there is a processor: 1 record from 5 on",
        "    not exported by file: 2 records from 4 on",
        "partition 2: 5 records in 2 batches, positions 1 to 5: all whole",
    ]
    assert call("verify", data, "--partition", 2)[0] == 0


def test_repair_says_what_is_lost_and_the_log_is_whole_after(call: Call, data: Path) -> None:
    damage(lies_in(data), 1)
    damage(lies_in(data, 2), 4)
    code, out, _ = call("verify", data, "--repair", "--yes")
    assert code == 0
    assert "positions 1 to 3: its checksum does not match its content (3 records" in out
    assert out.endswith("repaired; the pipeline can go on\n")
    assert call("verify", data)[0] == 0
    _, out, _ = call("cat", data, "--partition", 1)
    assert [json.loads(line)["intent"] for line in out.splitlines()] == ["lost"] * 3 + ["create"] * 2


def test_commits_that_the_database_does_not_know_are_told_with_what_goes_with_them(call: Call, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", [3, 2])
    (segment, at, _, _), (_, behind, _, _), *_ = frames(lies_in(data))
    turn_byte(segment, at)
    turn_byte(segment, behind)
    # As if the machine had stopped before the database was told of anything.
    change(lies_in(data) / "state.db", "UPDATE meta SET value = 0 WHERE key IN ('applied_commit', 'last_position')")
    code, out, _ = call("verify", data, "--repair", "--yes")
    assert code == 0
    assert out.splitlines() == [
        "partition 1: 0 records in 0 batches: DAMAGED",
        "  positions 1 to 5: there is no commit where one must be (5 records)",
        "    what it changed besides is lost too: keyed state, timers, messages, how far everybody has come",
        "    not processed, if there is a processor: 1 record from 5 on",
        "    not exported by file: 3 records from 3 on",
        "repaired; the pipeline can go on, without what is lost",
    ]
    assert call("verify", data)[0] == 0


def test_a_write_that_was_cut_short_is_told_and_is_no_damage(call: Call, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", [3, 2])
    (segment,) = lies_in(data).glob("*.log")
    with segment.open("ab") as file:
        file.write(b"only the beginni")
    code, out, _ = call("verify", data)
    assert code == 0
    assert out.splitlines() == [
        "partition 1: 5 records in 2 batches, positions 1 to 5: all whole",
        "  behind them 16 bytes of a write that is under way or was cut short; a start drops it",
    ]


def test_a_damaged_header_is_told_with_its_place(call: Call, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", [3, 2])
    (segment,) = lies_in(data).glob("*.log")
    turn_byte(segment, 9)
    code, out, _ = call("verify", data, "--repair", "--yes")
    assert code == 0
    assert out.splitlines() == [
        "partition 1: 5 records in 2 batches, positions 1 to 5: DAMAGED",
        "  in front of position 1: the header of its segment is damaged",
        "repaired; the pipeline can go on",
    ]
    assert call("verify", data)[0] == 0


def test_repair_of_a_whole_log_changes_nothing(call: Call, data: Path) -> None:
    before = contents(lies_in(data))
    code, out, _ = call("verify", data, "--repair", "--yes")
    assert (code, "repaired" in out) == (0, False)
    assert contents(lies_in(data)) == before


def test_repair_without_a_terminal_and_without_yes_changes_nothing(
    call: Call, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(lies_in(data), 1)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, _, err = call("verify", data, "--repair")
    assert code == 2
    assert "--repair needs --yes where nobody can be asked" in err
    assert call("verify", data)[0] == 1


@pytest.mark.parametrize(("answer", "code", "after"), [(True, 0, 0), (False, 1, 1)])
def test_repair_asks_at_a_terminal_and_keeps_to_the_answer(
    call: Call, data: Path, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int, after: int
) -> None:
    damage(lies_in(data), 1)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda text: answer)
    assert call("verify", data, "--repair")[0] == code
    assert call("verify", data)[0] == after


def test_repair_while_the_folder_is_in_use_is_refused_and_looking_is_not(call: Call, data: Path) -> None:
    damage(lies_in(data), 1)
    engine = DataFolder(data)
    engine.hold()
    try:
        code, out, err = call("verify", data, "--repair", "--yes")
        assert (code, out) == (2, "")
        assert "is in use by another process" in err
        assert call("verify", data)[0] == 1
        assert call("ls", data)[0] == 0
    finally:
        engine.close()


def test_a_repair_gives_the_folder_back(call: Call, data: Path) -> None:
    call("verify", data, "--repair", "--yes")
    folder = DataFolder(data)
    folder.hold()
    folder.close()


@pytest.mark.parametrize("command", ["ls", "cat", "verify"])
def test_what_is_no_data_folder_or_of_another_format_is_one_sentence(call: Call, tmp_path: Path, command: str) -> None:
    code, out, err = call(command, tmp_path)
    assert (code, out) == (2, "")
    assert err == f"penstock: {tmp_path} is no data folder: there is no penstock.json in it\n"
    (tmp_path / "penstock.json").write_text('{"format": 7, "pipeline": "p", "partitions": 1}')
    assert "has format 7, this version reads format 2" in call(command, tmp_path)[2]


def test_a_partition_of_another_format_is_refused_with_both_numbers(call: Call, data: Path) -> None:
    file = lies_in(data) / "state.db"
    change(file, "UPDATE meta SET value = 3 WHERE key = 'format'")
    code, out, _ = call("verify", data)
    assert code == 1
    assert out.splitlines()[0].startswith(f"partition 1: REFUSED: {file} has format 3, this version reads format 2")
    assert out.splitlines()[1].endswith(": all whole"), "the other one is looked at all the same"


def test_a_partition_that_there_is_not_is_wrong_usage(call: Call, data: Path) -> None:
    code, _, err = call("cat", data, "--partition", 3)
    assert code == 2
    assert "there are 2 partitions, and none is 3" in err
