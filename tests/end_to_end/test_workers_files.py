"""Files as people have them, over worker processes: damage, broken rows, all files of a pattern."""

from __future__ import annotations

import gzip
import json
import os
import signal
import zlib
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, TaskFailedError
from engine.workers.engine import WorkerEngine
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.worker_pipelines import engine_of

PATIENCE_SECONDS = 4 * WAIT_SECONDS


def exported(folder: Path) -> list[Any]:
    found = []
    for path in folder.glob("*.ndjson"):
        found += [
            json.loads(line)["value"] for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
        ]
    return found


def run(folder: Path, path: Path, format: str, **options: Any) -> None:
    engine = engine_of(
        "reading", folder / "data", str(path), str(folder / "out"), format, workers=2, options=EngineOptions(**options)
    )
    with engine:
        assert engine.wait(PATIENCE_SECONDS)


def test_all_in_front_of_a_cut_gets_through_and_the_whole_file_goes_on_behind_it(tmp_path: Path) -> None:
    path, texts = tmp_path / "in.gz", [f"line {n}" for n in range(5000)]
    packed = gzip.compress("".join(f"{text}\n" for text in texts).encode())
    path.write_bytes(packed[:-500])
    whole = zlib.decompressobj(wbits=31).decompress(packed[:-500]).count(b"\n")
    with pytest.raises(TaskFailedError, match=r"in\.gz cannot be read behind line \d+: its gzip is cut off"):
        run(tmp_path, path, "lines")
    before = exported(tmp_path / "out")
    assert len(before) == len(set(before)) <= whole
    path.write_bytes(packed)
    run(tmp_path, path, "lines")
    assert sorted(exported(tmp_path / "out")) == sorted(texts)


def test_broken_rows_are_set_aside_and_the_others_get_through(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    rows = [f"{n},name {n}" if n % 50 else f'{n},"never closed' for n in range(2000)]
    path.write_text("id,name\n" + "".join(f"{row}\n" for row in rows))
    run(tmp_path, path, "csv")
    assert sorted(int(value["id"]) for value in exported(tmp_path / "out")) == [n for n in range(2000) if n % 50]
    rejects = [json.loads(line) for line in (tmp_path / "data" / "rejects" / "files.ndjson").read_bytes().splitlines()]
    assert [reject["offset"] for reject in rejects] == [n + 2 for n in range(0, 2000, 50)]


def test_each_line_of_all_files_of_a_pattern_is_there_once_when_a_worker_is_killed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    wanted = []
    for name in range(12):
        values = [{"file": name, "n": n} for n in range(5000)]
        wanted += values
        (tmp_path / "in" / f"{name}.ndjson").write_text("".join(json.dumps(value) + "\n" for value in values))
    engine = engine_of(
        "reading", tmp_path / "data", str(tmp_path / "in" / "*.ndjson"), str(tmp_path / "out"), "json", workers=2
    )
    assert isinstance(engine, WorkerEngine)
    with engine:
        assert wait_until(lambda: len(exported(tmp_path / "out")) > 0, PATIENCE_SECONDS)
        # The one that has the source.
        process_id = engine.snapshot().workers[1].process_id
        assert process_id is not None
        os.kill(process_id, signal.SIGKILL)
        assert engine.wait(PATIENCE_SECONDS)
    assert sorted(map(str, exported(tmp_path / "out"))) == sorted(map(str, wanted))
