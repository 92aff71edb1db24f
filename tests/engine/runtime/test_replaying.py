"""What was set aside can be seen, dropped and tried again: each once, also when the process dies in between."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, Record, RecordType
from engine.core.clock import NS_PER_MS
from engine.core.errors import ConfigurationError, RefusedRecordsError
from engine.exporting.protocol import ExporterContext, RecordFilter, Safe
from engine.exporting.retry import RetryPolicy
from engine.processing.protocol import ProcessingContext
from engine.writing.reject_folder import RejectFolder
from tests.support.pipelines import CollectingExporter, ListSource, Recorder
from tests.support.waiting import WAIT_SECONDS, wait_until

FAST = RetryPolicy(first_ns=NS_PER_MS, longest_ns=5 * NS_PER_MS)
FOREVER = EngineOptions(run_forever=True, drain_timeout_ns=10**9)


class World:
    """A step and a target that may be mended."""

    def __init__(self, values: Sequence[Any], partitions: int = 2) -> None:
        self.step_is_bad = True
        self.target_is_bad = False
        self.exporter = CollectingExporter()
        self.exporter.before = self._before
        self.pipeline = (
            Pipeline("p", partitions=partitions)
            .source("n", ListSource(values))
            .map("first", lambda value: {**value, "first": True})
            .map("second", self._second)
            .key_by("k")
            .export("out", self.exporter.factory, retry=FAST, attempts=1)
        )

    def _second(self, value: Any) -> Any:
        if self.step_is_bad and value["n"] % 3 == 0:
            raise ValueError("of three")
        return {**value, "second": True}

    def _before(self, records: Sequence[Record]) -> None:
        bad = [record for record in records if self.target_is_bad and record.value["n"] % 5 == 1]
        if bad:
            good = [record for record in records if record not in bad]
            for record in good:
                self.exporter.records.setdefault(int(record.value["k"]) + 1, []).append(record)
            raise RefusedRecordsError({record.position: "not now" for record in bad})

    def seen(self) -> list[int]:
        return sorted(value["n"] for value in self.exporter.values())


def values(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "k": str(n % 2)} for n in range(count)]


def counts(folder: Path) -> dict[str, int]:
    return {one.task: one.count for one in RejectFolder(folder / "rejects").counts()}


def test_rejects_of_a_step_go_through_the_pipeline_from_there_once(tmp_path: Path) -> None:
    world = World(values(300))
    with world.pipeline.run(tmp_path, options=FOREVER) as engine:
        assert wait_until(lambda: len(world.seen()) == 200)
        assert {r.task: r.count for r in engine.snapshot().rejects} == {"second": 100}
        assert engine.snapshot().rejects[0].oldest_wall_ns is not None
        shown = engine.rejects("second", 3)
        assert [one["value"] for one in shown] == [{"n": n, "k": str(n % 2), "first": True} for n in (0, 3, 6)]
        assert engine.replay_rejects("second") == 100
        folder = RejectFolder(tmp_path / "rejects")
        assert wait_until(lambda: not folder.replays() and counts(tmp_path) == {"second": 100}), "they fail again"
        world.step_is_bad = False
        engine.replay_rejects("second")
        assert wait_until(lambda: len(world.seen()) == 300)
        assert wait_until(lambda: engine.snapshot().rejects == ())
    assert world.seen() == [*range(300)]
    assert all(value["second"] for value in world.exporter.values())


def test_what_was_set_out_offline_is_tried_by_the_next_run_before_it_ends(tmp_path: Path) -> None:
    world = World(values(90))
    with world.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert RejectFolder(tmp_path / "rejects").set_out("second", 1) == 30
    world.step_is_bad = False
    with world.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert world.seen() == [*range(90)]
    assert counts(tmp_path) == {}


def test_rejects_of_an_exporter_are_handed_to_it_again(tmp_path: Path) -> None:
    world = World(values(100), partitions=1)
    world.step_is_bad, world.target_is_bad = False, True
    with world.pipeline.run(tmp_path, options=FOREVER) as engine:
        assert wait_until(lambda: counts(tmp_path) == {"out": 20})
        assert wait_until(lambda: engine.snapshot().partitions[0].exporters[0].backlog_records == 0)
        world.target_is_bad = False
        engine.replay_rejects("out")
        assert wait_until(lambda: world.seen() == [*range(100)])
        assert wait_until(lambda: counts(tmp_path) == {})
    again = [record for part in world.exporter.records.values() for record in part if record.value["n"] % 5 == 1]
    assert len({record.position for record in again}) == 20


def test_what_is_dropped_is_gone_and_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    world = World(values(30))
    with world.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    folder = RejectFolder(tmp_path / "rejects")
    with pytest.raises(ConfigurationError, match="there are no rejects of 'out'; there are some of second"):
        folder.drop("out")
    assert folder.drop("second") == 10
    assert folder.counts() == ()
    with pytest.raises(ConfigurationError, match="nothing was rejected: there is no folder"):
        RejectFolder(tmp_path / "nowhere").drop("second")


def test_a_replay_whose_file_was_not_deleted_in_time_changes_nothing_more(tmp_path: Path) -> None:
    world = World(values(1500))
    with world.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    RejectFolder(tmp_path / "rejects").set_out("second", 7)
    (file,) = (tmp_path / "rejects").glob("second.replay-*")
    kept = file.read_bytes()
    world.step_is_bad = False
    for _ in range(3):
        with world.pipeline.run(tmp_path) as engine:
            assert engine.wait(WAIT_SECONDS)
        assert not file.exists()
        file.write_bytes(kept)
    assert world.seen() == [*range(1500)]


def test_a_folder_that_cannot_be_looked_at_just_now_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(values(60))
    with world.pipeline.run(tmp_path, options=FOREVER) as engine:
        assert wait_until(lambda: engine.snapshot().rejects != () and engine.snapshot().rejects[0].count == 20)
        really_list = os.listdir

        def without_descriptors(path: Any) -> list[str]:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(os, "listdir", without_descriptors)
        assert wait_until(lambda: "rejects cannot be replayed just now" in caplog.text)
        assert engine.snapshot().rejects[0].count == 20
        monkeypatch.setattr(os, "listdir", really_list)
        world.step_is_bad = False
        engine.replay_rejects("second")
        assert wait_until(lambda: world.seen() == [*range(60)])


@pytest.mark.parametrize("line", ["no json", '{"task": "out", "value": 1}'])
def test_a_replay_that_cannot_be_read_waits_and_stops_nobody(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(values(30))
    world.step_is_bad = False
    (tmp_path / "rejects").mkdir()
    (tmp_path / "rejects" / "out.replay-7.ndjson").write_text(line + "\n")
    with world.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert world.seen() == [*range(30)]
    assert caplog.text.count("out.replay-7.ndjson, line 1") == 1
    assert (tmp_path / "rejects" / "out.replay-7.ndjson").exists()


def test_rejects_of_a_processor_are_commands_again_for_the_same_state(tmp_path: Path) -> None:
    is_bad = True

    def work(record: Record, context: ProcessingContext) -> None:
        if is_bad and record.value["n"] % 10 == 1:
            context.reject("not of ten")
        if is_bad and record.value["n"] % 10 == 2:
            raise ValueError("of ten")
        context.state.put(str(record.value["n"]), record.value["k"])
        context.emit("done", {"n": record.value["n"], "partition": context.partition})

    exporter = CollectingExporter()
    pipeline = (
        Pipeline("p", partitions=2)
        .source("n", ListSource(values(200)))
        .process(lambda: Recorder(work), name="work", key="k", attempts=1)
        .export("out", exporter.factory, filter=RecordFilter(value_types=frozenset({"done"})))
    )
    with pipeline.run(tmp_path, options=FOREVER) as engine:
        assert wait_until(lambda: counts(tmp_path) == {"work": 40} and len(exporter.values()) == 160)
        assert {one.task: one.count for one in engine.snapshot().rejects} == {"work": 40}
        reasons = [one["reason"] for one in engine.rejects("work", 1000)]
        assert (reasons.count("not of ten"), reasons.count("ValueError: of ten")) == (20, 20)
        is_bad = False
        assert engine.replay_rejects("work") == 40
        assert wait_until(lambda: len(exporter.values()) == 200 and counts(tmp_path) == {})
    partitions = {value["n"]: value["partition"] for value in exporter.values()}
    assert sorted(partitions) == [*range(200)]
    assert all(len({partitions[n] for n in range(k, 200, 2)}) == 1 for k in (0, 1))


class Later:
    """Says with the next question that what it was given is safe, where it names positions; refuses some."""

    def __init__(self, names: bool = True) -> None:
        self.is_bad = True
        self.taken: list[Record] = []
        self._names = names
        self._open: list[int] = []
        self._highest = 0

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> None:
        bad = {r.position: "not now" for r in records if self.is_bad and r.value["n"] % 5 == 1}
        good = [record for record in records if record.position not in bad]
        self.taken += good
        self._open += [record.position for record in good]
        if bad:
            raise RefusedRecordsError(bad)

    def acknowledged(self) -> Safe | None:
        if not self._open:
            return None
        last = self._open.pop()
        self._open.clear()
        self._highest = max(self._highest, last)
        return Safe(last if self._names else self._highest)

    def close(self) -> None:
        return


def later(target: Later, count: int) -> Pipeline:
    return (
        Pipeline("p")
        .source("n", ListSource(values(count)))
        .export(
            "out",
            lambda: target,
            retry=FAST,
            attempts=1,
            filter=RecordFilter(record_types=frozenset({RecordType.COMMAND})),
        )
    )


def test_rejects_of_an_exporter_that_acknowledges_later_are_handed_to_it_again(tmp_path: Path) -> None:
    target = Later()
    with later(target, 400).run(tmp_path, options=FOREVER) as engine:
        assert wait_until(lambda: counts(tmp_path) == {"out": 80})
        target.is_bad = False
        engine.replay_rejects("out")
        assert wait_until(lambda: counts(tmp_path) == {})
    assert sorted({record.value["n"] for record in target.taken}) == [*range(400)]


def test_who_never_names_a_reject_as_safe_holds_nobody_up(tmp_path: Path) -> None:
    target = Later(names=False)
    with later(target, 100).run(tmp_path, options=FOREVER) as engine:
        assert wait_until(lambda: counts(tmp_path) == {"out": 20})
        assert wait_until(lambda: engine.snapshot().partitions[0].exporters[0].backlog_records == 0)
        target.is_bad = False
        engine.replay_rejects("out")
        assert wait_until(lambda: counts(tmp_path) == {"out": 20} and not list(tmp_path.glob("rejects/*replay*")))
        assert all("acknowledged() says" in one["reason"] for one in engine.rejects("out", 100))


def test_what_a_crash_left_and_comes_again_is_kept_once(tmp_path: Path) -> None:
    world = World(values(90))
    with world.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    (path,) = (tmp_path / "rejects").glob("second.ndjson")
    # As if it had got a little further before it was killed; and then somebody has set out all there was.
    line = json.loads(path.read_bytes().splitlines()[-1])
    with path.open("ab") as file:
        file.write(json.dumps({**line, "offset": 91, "value": {"n": 90, "k": "0", "first": True}}).encode() + b"\n")
    RejectFolder(tmp_path / "rejects").set_out("second", 7)
    more = World(values(93))
    with more.pipeline.run(tmp_path) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert sorted(one["value"]["n"] for one in RejectFolder(tmp_path / "rejects").lines("second")) == [*range(0, 93, 3)]
