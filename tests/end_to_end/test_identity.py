"""Whatever befalls one file of a data folder: never a silent loss, never a position twice, never a cut export.

`IDENTITY_ROUNDS=200 TEST_SEED=…` for as many rounds, and for the same again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import DataFolderError, Engine, EngineOptions, Pipeline, ProcessingContext, Record, TaskFailedError
from engine.core.errors import LogCorruptedError
from engine.exporting.jsonl import jsonl
from engine.log.local.inspection import Inspection
from engine.runtime.data_folder import DataFolder
from tests.support.waiting import WAIT_SECONDS, wait_until

ROUNDS = int(os.environ.get("IDENTITY_ROUNDS", "40"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
KEYS = [f"k{i}" for i in range(8)]
FAULTS = ("removed", "of the other partition", "of another folder", "cut", "a bit flipped")
# Says nothing but who holds the folder, for people; the last one is an index that SQLite makes anew.
OF_NO_ACCOUNT = ("lock", "state.db-shm")


class Count:
    """Each key is counted in durable state; a count that is lost or foreign shows in the next one."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        n = context.state.get(record.key, 0) + 1
        context.state.put(record.key, n)
        context.emit("counted", {"k": record.key, "n": n})


def engine_over(folder: Path) -> Engine:
    pipeline = Pipeline("p", partitions=2).key_by("k").process(Count).export("out", jsonl(folder / "out.ndjson"))
    return pipeline.run(folder / "data", options=EngineOptions(run_forever=True, retained_records=None))


def write_all(engine: Engine, times: int) -> None:
    for _ in range(times):
        engine.write([{"k": key} for key in KEYS])
    assert wait_until(
        lambda: (
            all(p.lowest_acknowledged_position == p.last_written_position for p in engine.snapshot().partitions)
            and all(p.last_processed_position == p.last_written_position for p in engine.snapshot().partitions)
        )
    )


@dataclass(frozen=True)
class Held:
    """A folder as it was left, and what it held: records and exported lines by partition."""

    folder: Path
    records: dict[int, list[tuple[int, str, object]]]
    lines: dict[str, bytes]


def records_of(data: Path) -> dict[int, list[tuple[int, str, object]]]:
    folder, found = DataFolder(data), {}
    for partition in (1, 2):
        with Inspection(partition, folder.partition_path(partition), folder.identity(partition)) as inspection:
            found[partition] = [(r.position, r.intent, r.value) for r in inspection.records(1)]
    return found


def lines_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("out*"))}


def held(folder: Path) -> Held:
    return Held(folder, records_of(folder / "data"), lines_of(folder))


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Held]:
    """One that was closed in order, one as a kill leaves it."""
    closed, running, killed = (tmp_path_factory.mktemp(name) for name in ("closed", "running", "killed"))
    for folder, image in ((closed, None), (running, killed / "image")):
        with engine_over(folder) as engine:
            write_all(engine, 5)
        with engine_over(folder) as engine:
            write_all(engine, 5)
            if image is not None:
                shutil.copytree(folder, image)
    return [held(closed), held(killed / "image")]


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another data folder of the same pipeline, with more in it."""
    folder = tmp_path_factory.mktemp("another")
    with engine_over(folder) as engine:
        write_all(engine, 12)
    return folder / "data"


def other_of(path: Path) -> str:
    """The same file of the other partition."""
    swap = {"1": "2", "2": "1", "1.floor": "2.floor", "2.floor": "1.floor"}
    return "/".join(swap.get(part, part) for part in path.parts)


def befall(data: Path, file: Path, fault: str, another: Path, chance: random.Random) -> str:
    """Does it to the file; returns what was done, or nothing where it cannot be done to this file."""
    inside = file.relative_to(data)
    content = bytearray(file.read_bytes())
    done = fault
    match fault:
        case "removed":
            file.unlink()
        case "of the other partition":
            other = data / other_of(inside)
            if other == file or not other.exists():
                return ""
            file.write_bytes(other.read_bytes())
            other.write_bytes(content)
        case "of another folder" if (another / inside).exists():
            shutil.copy(another / inside, file)
        case "cut" if content:
            to = chance.randrange(len(content))
            os.truncate(file, to)
            done = f"cut to {to} of {len(content)} bytes"
        case "a bit flipped" if content:
            at, bit = chance.randrange(len(content)), chance.randrange(8)
            content[at] ^= 1 << bit
            file.write_bytes(content)
            done = f"bit {bit} of byte {at} of {len(content)} flipped"
        case _:
            done = ""
    return done


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert text
    assert "\n" not in text, text
    return text


def go_on(folder: Path, before: Held) -> str:
    """Starts over what is left and writes once more; returns why it was refused or stopped, if it was.

    Asserts that nothing is lost in silence: either it says so, or all that was acknowledged is there.
    """
    data = folder / "data"
    try:
        engine = engine_over(folder).start()
    except DataFolderError as error:
        assert lines_of(folder) == before.lines, "who is refused touches no output"
        return one_sentence(error)
    stopped = ""
    try:
        written = [place for _ in range(2) for place in engine.write([{"k": key} for key in KEYS]).places]  # type: ignore[union-attr]
        assert wait_until(
            lambda: (
                engine.snapshot().failure is not None
                or all(
                    p.lowest_acknowledged_position == p.last_written_position == p.last_processed_position
                    for p in engine.snapshot().partitions
                )
            )
        )
    finally:
        engine.stop()
    try:
        engine.wait(WAIT_SECONDS)
    except (TaskFailedError, LogCorruptedError) as error:
        stopped = one_sentence(error)
    lines = lines_of(folder)
    for name, content in before.lines.items():
        assert lines[name].startswith(content), f"{name} was cut or overwritten"
    for partition, known in before.records.items():
        new = [place.position for place in written if place.partition == partition]
        assert min(new) > known[-1][0], "a position was given twice"
    if stopped:
        return stopped
    try:
        now = records_of(data)
    except DataFolderError as error:
        # What everybody is done with is not read at the start; whoever does read it hears of it.
        assert is_refused_by_verify(data)
        return one_sentence(error)
    for partition, known in before.records.items():
        assert now[partition][: len(known)] == known, "what was acknowledged is not there any more"
        assert [record[0] for record in now[partition]] == list(range(1, len(now[partition]) + 1))
    counts: dict[str, list[int]] = defaultdict(list)
    for partition in (1, 2):
        for _, intent, value in now[partition]:
            if intent == "counted":
                assert isinstance(value, dict)
                counts[value["k"]].append(value["n"])
    assert all(found == list(range(1, len(found) + 1)) for found in counts.values()), "state was lost or is foreign"
    for name in before.lines:
        positions = [json.loads(line)["position"] for line in lines[name].splitlines()]
        assert len(set(positions)) == len(positions), "a record left twice"
    return ""


def is_refused_by_verify(data: Path) -> bool:
    from click.testing import CliRunner

    from penstock.cli.log import log

    found = CliRunner().invoke(log, ["verify", str(data)], standalone_mode=False)
    return found.exception is not None or bool(found.return_value)


def files_of(data: Path) -> list[Path]:
    return sorted(f for f in data.rglob("*") if f.is_file() and f.name not in OF_NO_ACCOUNT)


def test_each_file_of_a_folder_that_is_gone_or_somebody_elses_is_refused_and_verify_agrees(
    bases: list[Held], another: Path, tmp_path: Path
) -> None:
    said = {}
    for base in bases:
        for file in files_of(base.folder / "data"):
            inside = file.relative_to(base.folder)
            for fault in FAULTS[:3]:
                folder = tmp_path / "round"
                shutil.copytree(base.folder, folder)
                if befall(folder / "data", folder / inside, fault, another, random.Random(0)):
                    refused = is_refused_by_verify(folder / "data")
                    why = go_on(folder, base)
                    # The write-ahead log of SQLite is empty, or copied already, most of the time.
                    assert why or inside.name == "state.db-wal", (inside, fault)
                    assert refused or not why, (inside, fault, why)
                    said[inside.name, fault] = why
                shutil.rmtree(folder)
    assert {fault for _, fault in said} == {*FAULTS[:3]}


def test_whatever_befalls_one_file_nothing_is_lost_in_silence(bases: list[Held], another: Path, tmp_path: Path) -> None:
    print(f"TEST_SEED={SEED}, {ROUNDS} rounds")
    chance = random.Random(SEED)
    ends: dict[str, int] = defaultdict(int)
    for round_ in range(ROUNDS):
        base = chance.choice(bases)
        folder = tmp_path / f"{round_}"
        shutil.copytree(base.folder, folder)
        file = chance.choice(files_of(folder / "data"))
        fault = chance.choice(FAULTS)
        done = befall(folder / "data", file, fault, another, chance)
        print(f"round {round_}: {file.relative_to(folder)}: {done or 'nothing'}")
        why = go_on(folder, base) if done else ""
        ends[f"{fault}: {'refused' if why else 'whole' if done else 'cannot be'}"] += 1
        print(f"  {why}")
        shutil.rmtree(folder)
    print(dict(sorted(ends.items())))
    assert any(end.endswith("refused") for end in ends)
