"""`/api/exporters` says how each exporter is doing, and holds one."""

from __future__ import annotations

from dataclasses import replace

from engine.core.pause import Pause
from engine.core.snapshot import EngineSnapshot, ExporterState, RejectsSnapshot
from exporter.management.exporters import exporters_document
from tests.support.management import OpenPort
from tests.support.snapshots import busy_snapshot, engine_snapshot, partition, record_exporter


def failing() -> EngineSnapshot:
    """Two exporters on two partitions, one of which fails on the second."""
    now_ns = busy_snapshot().taken_wall_ns
    bad = record_exporter(
        "search",
        state=ExporterState.RETRYING,
        acknowledged_position=40,
        backlog_records=60,
        oldest_unexported_wall_ns=now_ns - 5_500_000_000,
        errors=3,
        last_error="http://search answers 503",
        last_error_wall_ns=now_ns - 1_000_000_000,
    )
    good = record_exporter("search", acknowledged_position=10, oldest_unexported_wall_ns=now_ns)
    file = record_exporter("file", oldest_unexported_wall_ns=now_ns, state=ExporterState.PAUSED)
    return replace(
        engine_snapshot(),
        taken_wall_ns=now_ns,
        partitions=(
            partition(1, exporters=(good, file), last_written_position=10),
            partition(2, exporters=(bad, file), last_written_position=100),
        ),
    )


def test_each_exporter_is_told_with_its_partitions_and_the_worst_of_their_states(port: OpenPort) -> None:
    port.engine.told = failing()
    answer = port.client.get("/api/exporters").json()
    search, file = answer["exporters"]
    assert (search["exporter"], search["state"], search["backlog"]) == ("search", "retrying", 60)
    assert search["oldestUnexportedAgeSeconds"] == 5.5
    assert [part["state"] for part in search["partitions"]] == ["exporting", "retrying"]
    second = search["partitions"][1]
    assert (second["acknowledgedPosition"], second["lastWrittenPosition"], second["errors"]) == (40, 100, 3)
    assert second["lastError"] == "http://search answers 503"
    assert answer["takenAt"] - second["lastErrorAt"] == 1
    assert (file["state"], file["oldestUnexportedAgeSeconds"]) == ("paused", 0)


def test_an_age_that_the_log_cannot_tell_is_not_zero() -> None:
    told = failing()
    first, second = told.partitions
    (unknown, file) = second.exporters
    unread = replace(unknown, oldest_unexported_wall_ns=None)
    answer = exporters_document(replace(told, partitions=(first, replace(second, exporters=(unread, file)))))
    search = answer["exporters"][0]
    assert search["oldestUnexportedAgeSeconds"] is None
    assert [part["oldestUnexportedAgeSeconds"] for part in search["partitions"]] == [0, None]


def test_a_pipeline_without_exporters_has_an_empty_list() -> None:
    assert exporters_document(engine_snapshot(partitions=(partition(1),)))["exporters"] == []


def test_an_exporter_is_paused_and_let_go_on(port: OpenPort) -> None:
    port.engine.told = failing()
    answer = port.client.post("/api/exporters/search/pause")
    assert (answer.status_code, answer.json()) == (202, {"exporter": "search", "paused": True})
    assert port.client.post("/api/exporters/search/resume").json() == {"exporter": "search", "paused": False}
    assert port.engine.paused == [("search", True), ("search", False)]


def test_an_exporter_that_is_not_there_is_404(port: OpenPort) -> None:
    port.engine.told = failing()
    answer = port.client.post("/api/exporters/serach/pause")
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no exporter 'serach'")
    assert port.engine.paused == []


def test_a_look_never_pauses(port: OpenPort) -> None:
    assert port.client.get("/api/exporters/file/pause").status_code == 405
    assert port.engine.paused == []


def test_all_exporters_are_paused_and_let_go_on_as_zeebe_has_it(port: OpenPort) -> None:
    port.engine.told = failing()
    assert port.client.post("/actuator/exporting/pause?soft=true").status_code == 204
    assert port.engine.softly == ["search", "file"]
    assert port.client.post("/actuator/exporting/pause").status_code == 204
    assert port.client.post("/actuator/exporting/resume").status_code == 204
    assert port.engine.paused[-4:] == [("search", True), ("file", True), ("search", False), ("file", False)]
    answer = port.client.post("/actuator/exporting/pause?soft=perhaps")
    assert (answer.status_code, answer.json()["detail"]) == (400, "soft is true or false")
    assert len(port.engine.paused) == 6


def test_a_pause_says_by_whom_since_when() -> None:
    told = failing()
    first, second = told.partitions
    held = replace(first.exporters[1], pause=Pause(soft=True, since_wall_ns=1_700_000_000_500_000_000, by="alice"))
    answer = exporters_document(replace(told, partitions=(replace(first, exporters=(held,)), second)))
    (file,) = [one for one in answer["exporters"] if one["exporter"] == "file"]
    assert file["partitions"][0]["pause"] == {"soft": True, "since": 1_700_000_000.5, "by": "alice"}
    assert file["partitions"][1]["pause"] is None


def test_rejects_are_counted_shown_replayed_and_dropped(port: OpenPort) -> None:
    port.engine.told = replace(
        failing(), rejects=(RejectsSnapshot(task="parse", count=3, oldest_wall_ns=1_700_000_000_000_000_000),)
    )
    assert port.client.get("/api/rejects").json()["rejects"] == [
        {"task": "parse", "count": 3, "oldestAt": 1_700_000_000.0}
    ]
    assert [one["value"] for one in port.client.get("/api/rejects/parse?limit=2").json()["rejects"]] == [0, 1]
    assert port.client.get("/api/rejects/parse?limit=0").status_code == 400
    replayed = port.client.post("/api/rejects/parse/replay")
    assert (replayed.status_code, replayed.json()) == (202, {"task": "parse", "replayed": 3})
    assert port.client.delete("/api/rejects/parse").json() == {"task": "parse", "deleted": 3}
    missing = port.client.post("/api/rejects/search/replay")
    assert (missing.status_code, missing.json()["detail"]) == (404, "there are no rejects of 'search'")
