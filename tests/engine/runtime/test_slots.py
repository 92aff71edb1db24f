"""Commands in flight: the count comes back to 0 whatever becomes of them, in a whole engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine import (
    Engine,
    EngineOptions,
    FixedSettings,
    FlowControlSettings,
    Pipeline,
    Record,
    RecordType,
    RequestAlgorithm,
    RequestLimitSettings,
)
from engine.core.errors import WriteFailedError
from engine.core.snapshot import Outcome
from engine.flow.gate import Refusal
from engine.log.memory import MemoryStorage
from engine.log.storage import Entry, StorageError
from engine.processing.protocol import ProcessingContext
from tests.support.records import records_of
from tests.support.waiting import wait_until

LIMIT = 3
SETTINGS = FlowControlSettings(
    request=RequestLimitSettings(
        enabled=True, use_windowed=False, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=LIMIT)
    )
)


class FullDisk(MemoryStorage):
    """Stores no commands while it is full."""

    is_full = False

    def commit(self, entries: Sequence[Entry]) -> None:
        commands = any(r.record_type == RecordType.COMMAND for entry in entries for r in records_of(entry.unit))
        if self.is_full and commands:
            raise StorageError("disk_full", "no space left on device")
        super().commit(entries)


class Moody:
    """Rejects, fails or does what the command says; holds everything up while its gate is closed."""

    gate = threading.Event()

    def process(self, record: Record, context: ProcessingContext) -> None:
        assert self.gate.wait(20)
        if record.value == "reject":
            context.reject("no")
        if record.value == "fail":
            raise ValueError("cannot")
        context.emit("done", record.value)


def engine_over(folder: Path, storage: FullDisk) -> Engine:
    Moody.gate.set()
    return Engine(
        Pipeline("p").process(Moody, attempts=1),
        folder,
        flow_control=SETTINGS,
        options=EngineOptions(run_forever=True),
        storage=lambda _: storage,
    )


def in_flight(engine: Engine) -> int:
    found = engine.snapshot().partitions[0].flow.requests_in_flight
    assert found >= 0
    return found


def test_a_command_gives_its_slot_back_however_it_ends(tmp_path: Path) -> None:
    with engine_over(tmp_path, FullDisk()) as engine:
        for value in ("fine", "reject", "fail", "fine"):
            assert not isinstance(engine.write([value]), Refusal)
            assert wait_until(lambda: in_flight(engine) == 0)
        engine.stop(drain=False)


def test_a_write_that_fails_gives_its_slot_back(tmp_path: Path) -> None:
    storage = FullDisk()
    with engine_over(tmp_path, storage) as engine:
        storage.is_full = True
        for _ in range(2 * LIMIT):
            with pytest.raises(WriteFailedError, match="no space left"):
                engine.write(["lost"])
            assert in_flight(engine) == 0
        storage.is_full = False
        assert not isinstance(engine.write(["fine"]), Refusal)
        assert wait_until(lambda: in_flight(engine) == 0)
        engine.stop(drain=False)


def test_a_slot_is_held_until_the_command_is_processed_and_a_stop_gives_all_back(tmp_path: Path) -> None:
    with engine_over(tmp_path, FullDisk()) as engine:
        Moody.gate.clear()
        try:
            for _ in range(LIMIT):
                assert not isinstance(engine.write(["held"]), Refusal)
            refusal = engine.write(["one too many"])
            assert isinstance(refusal, Refusal)
            assert refusal.outcome is Outcome.REQUEST_LIMIT_EXHAUSTED
            assert in_flight(engine) == LIMIT
            stopping = threading.Thread(target=engine.stop, kwargs={"drain": False})
            stopping.start()
            assert wait_until(lambda: in_flight(engine) == 0)
        finally:
            Moody.gate.set()
        stopping.join(20)
    assert in_flight(engine) == 0
