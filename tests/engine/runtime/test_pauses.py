"""A pause holds until somebody ends it, over restarts too; a soft one holds what is acknowledged."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from engine import Engine, EngineOptions, FlowControlSettings, Override, Pipeline
from engine.core.errors import DataFolderError
from engine.core.pause import Pause
from engine.core.snapshot import ExporterSnapshot, ExporterState
from engine.runtime.kept import KeptInFolder
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS, wait_until

QUICK = EngineOptions(run_forever=True, drain_timeout_ns=10**9)


def seen(engine: Engine) -> ExporterSnapshot:
    return engine.snapshot().partitions[0].exporters[0]


def pipeline(exporter: CollectingExporter, count: int) -> Pipeline:
    return Pipeline("p").source("n", ListSource(range(count))).export("out", exporter.factory)


def test_a_paused_exporter_is_paused_after_a_restart_and_says_by_whom_since_when(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    with pipeline(exporter, 50).run(tmp_path, options=QUICK) as engine:
        assert wait_until(lambda: seen(engine).backlog_records == 0 and len(exporter.values()) == 50)
        engine.pause_exporter("out", paused=True, by="alice")
    with pipeline(exporter, 90).run(tmp_path, options=QUICK) as engine:
        assert wait_until(lambda: seen(engine).backlog_records >= 40)
        assert wait_until(lambda: seen(engine).state is ExporterState.PAUSED)
        pause = seen(engine).pause
        assert pause is not None
        assert (pause.by, pause.soft) == ("alice", False)
        assert len(exporter.values()) == 50
        engine.pause_exporter("out", paused=False)
        assert wait_until(lambda: exporter.values() == [*range(90)])
    with pipeline(exporter, 95).run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS), "it was let go on for good"
    assert exporter.values() == [*range(95)]


def test_a_softly_paused_exporter_exports_and_acknowledges_nothing_until_it_is_let_go_on(tmp_path: Path) -> None:
    exporter = CollectingExporter()
    with pipeline(exporter, 0).run(tmp_path, options=QUICK) as engine:
        engine.pause_exporter("out", paused=True, soft=True)
    with pipeline(exporter, 60).run(tmp_path, options=QUICK) as engine:
        held = seen(engine).acknowledged_position
        assert wait_until(lambda: len(exporter.values()) == 60)
        assert seen(engine).acknowledged_position == held
        assert seen(engine).backlog_records >= 60
    assert len(exporter.values()) == 60
    with pipeline(exporter, 60).run(tmp_path, options=QUICK) as engine:
        assert wait_until(lambda: len(exporter.values()) == 120), "what was not acknowledged comes again"
        engine.pause_exporter("out", paused=False)
        assert wait_until(lambda: seen(engine).backlog_records == 0)
    assert len(exporter.values()) == 120


def test_a_pause_that_cannot_be_read_lets_nobody_go_on(tmp_path: Path) -> None:
    with pipeline(CollectingExporter(), 1).run(tmp_path, options=QUICK) as engine:
        engine.pause_exporter("out", paused=True)
    (tmp_path / "exporter-pauses.json").write_text('{"out": {')
    with pytest.raises(DataFolderError, match=r"says which exporters are paused and cannot be read"):
        pipeline(CollectingExporter(), 1).run(tmp_path).start()
    (tmp_path / "exporter-pauses.json").unlink()
    with pipeline(CollectingExporter(), 1).run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)


def test_a_file_system_that_syncs_no_folders_keeps_what_is_set_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def files_alone(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(file)

    monkeypatch.setattr(os, "fsync", files_alone)
    kept = KeptInFolder(tmp_path, limits=True)
    kept.keep_pauses({"out": Pause(since_wall_ns=1, by="alice")})
    kept.keep_overrides({1: Override(settings=FlowControlSettings(), since_wall_ns=1)})
    assert kept.pauses()["out"].by == "alice"
    assert {*kept.overrides()} == {1}
