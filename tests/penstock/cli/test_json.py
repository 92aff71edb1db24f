"""`--json`: what stands in a table, for programs."""

from __future__ import annotations

import json
from pathlib import Path

from engine.runtime.data_folder import DataFolder
from tests.support.commands import penstock
from tests.support.logs import data_folder

PIPELINE = """\
pipeline:
  name: orders
  partitions: 2
  key: customer
  sources: {orders: {lines: {path: orders.txt, format: json}}}
  exporters: {out: {jsonl: {path: out.ndjson}}}
management: {enabled: false}
"""


def test_a_log_is_listed_partition_by_partition(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", [3, 2], partitions=2)
    code, out, err = penstock("log", "ls", str(data), "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["pipeline"], [one["partition"] for one in said["partitions"]]) == ("p", [1, 2])
    first = said["partitions"][0]
    assert {name: first[name] for name in ("records", "batches", "oldestPosition", "lastPosition")} == {
        "records": 5, "batches": 2, "oldestPosition": 1, "lastPosition": 5,
    }  # fmt: skip
    assert (first["processedPosition"], first["exporters"], first["oldestAt"]) == (4, {"file": 2}, 1_700_000_000)
    assert first["path"] == str(DataFolder(data).partition_path(1))


def test_a_log_without_records_has_no_oldest_one(tmp_path: Path) -> None:
    _, out, _ = penstock("log", "ls", str(data_folder(tmp_path / "data", [])), "--json")
    (one,) = json.loads(out)["partitions"]
    assert (one["records"], one["oldestPosition"], one["oldestAt"]) == (0, None, None)


def test_a_file_is_told_with_its_tasks(tmp_path: Path) -> None:
    (tmp_path / "orders.txt").write_text("")
    (tmp_path / "orders.yaml").write_text(PIPELINE)
    code, out, err = penstock("check", str(tmp_path / "orders.yaml"), "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["pipeline"], said["partitions"], said["workers"], said["warnings"]) == ("orders", 2, 1, [])
    assert [(task["kind"], task["name"]) for task in said["tasks"]] == [("source", "orders"), ("exporter", "out")]
    assert said["around"]["flow control"] == "writes are not limited; requests are not limited"


def test_rejects_are_listed_as_the_management_port_lists_them(tmp_path: Path) -> None:
    (tmp_path / "orders.txt").write_text('{"customer": "ada"}\nno order\n{"customer": "bob"}\n')
    (tmp_path / "orders.yaml").write_text(PIPELINE)
    data = tmp_path / "data"
    assert penstock("run", str(tmp_path / "orders.yaml"), "--data", str(data))[0] == 0
    code, out, err = penstock("rejects", "ls", str(data), "--json")
    assert (code, err) == (0, "")
    ((one,),) = json.loads(out).values()
    assert (one["task"], one["count"]) == ("orders", 1)
    assert one["oldestAt"] > 1_700_000_000
    penstock("rejects", "drop", str(data), "orders")
    assert json.loads(penstock("rejects", "ls", str(data), "--json")[1]) == {"rejects": []}
