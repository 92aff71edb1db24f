"""Each exporter with each fault: nothing is lost, nothing is set aside that is not to blame, and the throttle holds.

What was seen is the table of docs/exporters.md; `python -m tests.end_to_end.test_fault_matrix` writes it anew.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import EngineOptions, FlowControlSettings, Pipeline, ThrottlingSettings, WriteLimitSettings
from engine.core.clock import NS_PER_MS
from engine.core.snapshot import ExporterState
from engine.exporting import jsonl as jsonl_module
from engine.exporting.elasticsearch import elasticsearch
from engine.exporting.http import http
from engine.exporting.jsonl import jsonl
from engine.exporting.postgres import postgres
from engine.exporting.protocol import ExporterFactory
from engine.exporting.retry import RetryPolicy
from tests.support.pipelines import ListSource
from tests.support.targets.http_target import Behaviour, HttpTarget, Posted, Reply, bulk_target, line_target
from tests.support.targets.postgres_server import MISSING, PostgresServer, postgres_server
from tests.support.waiting import WAIT_SECONDS, wait_until

PAGE = Path(__file__).parents[2] / "docs/exporters.md"
BEGIN, END = "<!-- the fault matrix begins -->\n", "<!-- the fault matrix ends -->\n"
RECORDS, ACCEPTABLE, BAD = 600, 100, 77
TIMEOUT_NS = 300 * NS_PER_MS
FAST = RetryPolicy(first_ns=5 * NS_PER_MS, longest_ns=50 * NS_PER_MS)
LIMITS = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=4000,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=ACCEPTABLE,
            minimum_limit=50,
            resolution_ns=20 * NS_PER_MS,
            measurement_window_ns=500 * NS_PER_MS,
            measurement_resolution_ns=50 * NS_PER_MS,
        ),
    )
)
HEADER = (
    "| exporter | fault | lost | set aside | state meanwhile | last error | throttled |\n"
    "|---|---|---|---|---|---|---|\n"
)


@dataclass
class Fault:
    """A target that is not well from the start, until it is mended; what it has in the end."""

    factory: ExporterFactory
    mend: Callable[[], None]
    arrived: Callable[[], list[int]]
    # Whether nothing gets through until then.
    is_target: bool = True


Making = Callable[[Path], AbstractContextManager[Fault]]


def of_lines(behave: Behaviour, *, is_target: bool = True) -> Making:
    @contextmanager
    def make(_: Path) -> Iterator[Fault]:
        with line_target() as target:
            target.behave = behaviour(target, behave)
            yield Fault(
                http(target.url, timeout_ns=TIMEOUT_NS),
                lambda: setattr(target, "behave", (lambda _: None) if is_target else behave),
                lambda: [line["value"]["n"] for line in target.lines],
                is_target,
            )

    return make


@contextmanager
def away(_: Path) -> Iterator[Fault]:
    with line_target() as target:
        target.stop()
        yield Fault(http(target.url), target.start, lambda: [line["value"]["n"] for line in target.lines])


def hanging(_: Posted) -> Reply | None:
    """Stands for a target that does not answer until the test is over."""
    raise AssertionError("the target is told to hold its answers instead")


def behaviour(target: HttpTarget, behave: Behaviour) -> Behaviour:
    return (lambda _: Reply(200, hold=target.hold)) if behave is hanging else behave


def refusing_one(posted: Posted) -> Reply | None:
    return Reply(422, b"bad number") if b'"n":%d}' % BAD in posted.body else None


def of_bulk(
    judge: Callable[[dict[str, object]], tuple[int, str] | None] = lambda _: None,
    behave: Behaviour = lambda _: None,
    *,
    is_target: bool = True,
) -> Making:
    @contextmanager
    def make(_: Path) -> Iterator[Fault]:
        with bulk_target() as target:
            target.judge, target.behave = judge, behaviour(target, behave)

            def mend() -> None:
                if is_target:
                    target.judge, target.behave = lambda _: None, lambda _: None

            yield Fault(
                elasticsearch(target.url, "all", timeout_ns=TIMEOUT_NS),
                mend,
                lambda: [document["value"]["n"] for document in target.documents.values()],
                is_target,
            )

    return make


def half() -> Callable[[dict[str, object]], tuple[int, str] | None]:
    turn = iter(range(10**9))
    return lambda _: (429, "queue is full") if next(turn) % 2 else None


@contextmanager
def bulk_away(_: Path) -> Iterator[Fault]:
    with bulk_target() as target:
        target.stop()
        yield Fault(
            elasticsearch(target.url, "all"),
            target.start,
            lambda: [document["value"]["n"] for document in target.documents.values()],
        )


def of_postgres(
    spoil: Callable[[PostgresServer], None], mend: Callable[[PostgresServer], None], *, is_target: bool = True
) -> Making:
    @contextmanager
    def make(_: Path) -> Iterator[Fault]:
        with postgres_server() as server:
            exporter = postgres(server.url)()
            exporter._use(exporter._make_table)  # the table is there, as after an earlier run
            exporter.close()
            spoil(server)
            yield Fault(
                postgres(server.url, timeout_ns=TIMEOUT_NS),
                lambda: mend(server),
                lambda: [n for (n,) in server.query("SELECT (value->>'n')::int FROM penstock_records")],
                is_target,
            )

    return make


def raising(condition: str) -> Callable[[PostgresServer], None]:
    def spoil(server: PostgresServer) -> None:
        server.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {condition} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$"
        )
        server.execute("CREATE TRIGGER no BEFORE INSERT ON penstock_records FOR EACH ROW EXECUTE FUNCTION no()")

    return spoil


def statement(text: str) -> Callable[[PostgresServer], None]:
    return lambda server: server.execute(text)


class _FullDisk:
    """The module `os`, on a disk that is full until it is not."""

    def __init__(self) -> None:
        self.is_full = True

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def write(self, file: int, text: bytes) -> int:
        if self.is_full:
            os.write(file, text[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(file, text)


@contextmanager
def disk_full(folder: Path) -> Iterator[Fault]:
    path, disk = folder / "out.ndjson", _FullDisk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl_module, "os", disk)
        yield Fault(jsonl(path), lambda: setattr(disk, "is_full", False), lambda: numbers_in(path))


@contextmanager
def folder_gone(folder: Path) -> Iterator[Fault]:
    """What its folder should be is a file."""
    inside = folder / "out"
    inside.touch()
    yield Fault(jsonl(inside / "out.ndjson"), inside.unlink, lambda: numbers_in(inside / "out.ndjson"))


@contextmanager
def file_gone(folder: Path) -> Iterator[Fault]:
    """The file is renamed while lines are written."""
    path = folder / "out.ndjson"
    exporter = jsonl(path)
    yield Fault(
        exporter,
        lambda: path.rename(folder / "taken.ndjson"),
        lambda: numbers_in(folder / "taken.ndjson") + numbers_in(path),
        is_target=False,
    )


def numbers_in(path: Path) -> list[int]:
    return [json.loads(line)["value"]["n"] for line in path.read_text().splitlines()] if path.exists() else []


def answering(status: int, text: bytes = b"") -> Behaviour:
    return lambda _: Reply(status, text)


def nothing(_: PostgresServer) -> None:
    """It is not to be mended."""


MATRIX: dict[tuple[str, str], Making] = {
    ("http", "target away"): away,
    ("http", "hangs"): of_lines(hanging),
    ("http", "401"): of_lines(answering(401, b"who are you?")),
    ("http", "403"): of_lines(answering(403, b"not you")),
    ("http", "404"): of_lines(answering(404, b"no such path")),
    ("http", "413 for all"): of_lines(answering(413)),
    ("http", "429"): of_lines(answering(429)),
    ("http", "500"): of_lines(answering(500, b"broken")),
    ("http", "refuses all (400)"): of_lines(answering(400, b"no such field")),
    ("http", "refuses one (422)"): of_lines(refusing_one, is_target=False),
    ("elasticsearch", "target away"): bulk_away,
    ("elasticsearch", "hangs"): of_bulk(behave=hanging),
    ("elasticsearch", "401"): of_bulk(behave=answering(401, b"missing authentication credentials")),
    ("elasticsearch", "403 for each document"): of_bulk(lambda _: (403, "action is unauthorized")),
    ("elasticsearch", "404 for each document"): of_bulk(lambda _: (404, "no such index")),
    ("elasticsearch", "413 for a large bulk"): of_bulk(
        behave=lambda posted: Reply(413) if len(posted.body) > 5000 else None, is_target=False
    ),
    ("elasticsearch", "half a bulk (429)"): of_bulk(half()),
    ("elasticsearch", "500"): of_bulk(behave=answering(500, b"broken")),
    ("elasticsearch", "schema change and back (400 for all)"): of_bulk(lambda _: (400, "failed to parse field [n]")),
    ("elasticsearch", "refuses one (400)"): of_bulk(
        lambda document: (400, "failed to parse field [n]") if document["value"] == {"n": BAD} else None,
        is_target=False,
    ),
    ("postgres", "target away"): of_postgres(PostgresServer.stop, PostgresServer.start),
    ("postgres", "hangs"): of_postgres(PostgresServer.hang, PostgresServer.go_on),
    ("postgres", "wrong table"): of_postgres(
        statement("ALTER TABLE penstock_records DROP CONSTRAINT penstock_records_pkey"),
        statement("ALTER TABLE penstock_records ADD PRIMARY KEY (partition, position)"),
    ),
    ("postgres", "schema change and back"): of_postgres(
        statement("ALTER TABLE penstock_records RENAME COLUMN value TO content"),
        statement("ALTER TABLE penstock_records RENAME COLUMN content TO value"),
    ),
    ("postgres", "read-only"): of_postgres(
        statement("ALTER DATABASE postgres SET default_transaction_read_only = on"),
        lambda server: server.execute(
            "SET TRANSACTION READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only"
        ),
    ),
    ("postgres", "refuses all (P0001)"): of_postgres(raising("true"), statement("DROP TRIGGER no ON penstock_records")),
    ("postgres", "refuses one (P0001)"): of_postgres(
        raising(f"(NEW.value->>'n')::int = {BAD}"), nothing, is_target=False
    ),
    ("jsonl", "disk full"): disk_full,
    ("jsonl", "folder gone"): folder_gone,
    ("jsonl", "file renamed"): file_gone,
}


def row(exporter: str, fault: str, folder: Path) -> str:
    """Runs a pipeline against the fault, mends it, and says what was seen."""
    with MATRIX[exporter, fault](folder) as wrong:
        pipeline = (
            Pipeline("matrix")
            .source("numbers", ListSource([{"n": n} for n in range(RECORDS)], batch=20))
            .export("outside", wrong.factory, retry=FAST)
        )
        options = EngineOptions(export_batch_records=50)
        with pipeline.run(folder / "data", flow_control=LIMITS, options=options) as engine:

            def outside() -> tuple[ExporterState, str | None, bool]:
                partition = engine.snapshot().partitions[0]
                return partition.exporters[0].state, partition.exporters[0].last_error, bool(partition.flow.throttled)

            if wrong.is_target:
                assert wait_until(lambda: engine.snapshot().partitions[0].backlog_records > ACCEPTABLE), outside()
                assert wait_until(lambda: outside()[0] is ExporterState.RETRYING and outside()[2]), outside()
            else:
                assert wait_until(lambda: engine.snapshot().partitions[0].last_written_position > 2 * ACCEPTABLE)
            state, error, throttled = outside()
            wrong.mend()
            assert engine.wait(WAIT_SECONDS), outside()
            error = outside()[1] or error
            kept = [one.count for one in engine.snapshot().rejects]
        arrived = set(wrong.arrived())
    set_aside = sum(kept)
    lost = RECORDS - len(arrived) - set_aside
    return (
        "| "
        + " | ".join(
            [
                exporter,
                fault,
                str(lost),
                str(set_aside),
                str(state) if wrong.is_target else "exporting",
                f"`{_said(error)}`" if error else "none",
                "yes" if throttled and wrong.is_target else "no",
            ]
        )
        + " |"
    )


def _said(error: str) -> str:
    """Without what is another one each time."""
    text = re.sub(r"http://127\.0\.0\.1:\d+(/es)?", "TARGET", error)
    text = re.sub(r"at position \d+", "at position N", text)
    text = re.sub(r"\(and \d+ more\)", "(and more)", text)
    text = re.sub(r"'?/[^ ']*/(out[^ ']*)'?", r"\1", text)
    text = re.sub(r"(connection to server)[^:]*:[^:]*", r"\1 failed", text)
    return " ".join(text.split())[:110]


@pytest.mark.real
@pytest.mark.parametrize(("exporter", "fault"), MATRIX)
def test_nothing_is_lost_whatever_the_target_does(exporter: str, fault: str, tmp_path: Path) -> None:
    if exporter == "postgres" and MISSING is not None:
        pytest.skip(MISSING)
    seen = row(exporter, fault, tmp_path)
    cells = [cell.strip() for cell in seen.strip("|").split("|")]
    assert cells[2] == "0", "nothing is lost"
    assert cells[3] == ("1" if "refuses one" in fault else "0"), "nothing is set aside but what is to blame"
    documented = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].splitlines()
    known = [line for line in documented if line.startswith(f"| {exporter} | {fault} |")]
    # What it says of the error may be one of several things, by when it was looked at.
    assert [line.split("|")[3:6] for line in known] == [seen.split("|")[3:6]]


def main() -> None:
    rows = []
    for exporter, fault in MATRIX:
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        rows.append(row(exporter, fault, folder))
        print(rows[-1], flush=True)
        shutil.rmtree(folder)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + HEADER + "\n".join(rows) + "\n" + END + after)


if __name__ == "__main__":
    main()
