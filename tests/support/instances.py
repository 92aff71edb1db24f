"""Several instances of a pipeline in one process, over one folder: who has which partition is said by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from engine.core.clock import Clock
from engine.core.errors import WriteFailedError
from engine.core.snapshot import PartitionState
from engine.flow.gate import Refusal
from engine.flow.settings import FlowControlSettings
from engine.instances.control import Told
from engine.instances.engine import InstanceEngine
from engine.instances.intake import Caller
from engine.instances.membership import Membership, Owner
from engine.log.storage import LogStorage
from engine.options import EngineOptions
from engine.pipeline import PipelineDescription
from engine.runtime.data_folder import DataFolder
from engine.runtime.intake import Written
from tests.support.waiting import wait_until


def open_partitions(engine: InstanceEngine) -> list[int]:
    return [p.partition for p in engine.snapshot().partitions if p.state is PartitionState.RUNNING]


class Wire:
    """What all instances tell each other; each reads it from the beginning."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rows: list[tuple[str, bytes | None]] = []
        self._readers: list[Told] = []

    @property
    def rows(self) -> list[tuple[str, bytes | None]]:
        """All that was said, in its order."""
        with self._lock:
            return list(self._rows)

    def end(self) -> WireEnd:
        return WireEnd(self)

    def join(self, told: Told) -> None:
        with self._lock:
            self._readers.append(told)
            for place, (key, value) in enumerate(self._rows):
                told(key, value, place)

    def put(self, key: str, value: bytes | None) -> int:
        with self._lock:
            self._rows.append((key, value))
            place = len(self._rows) - 1
            readers = list(self._readers)
        for told in readers:
            told(key, value, place)
        return place

    def leave(self, told: Told | None) -> None:
        with self._lock:
            self._readers = [one for one in self._readers if one != told]


class WireEnd:
    """Implements `Control` for one of them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._told: Told | None = None

    def start(self, told: Told) -> None:
        self._told = told
        self._wire.join(told)

    def put(self, key: str, value: bytes | None) -> int:
        return self._wire.put(key, value)

    def close(self) -> None:
        self._wire.leave(self._told)


class Handing:
    """Implements `Forward` without HTTP: the address of an instance's gateway is its name."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.hands = 0

    def _of(self, url: str) -> InstanceEngine:
        self.hands += 1
        engine = self._world.engines.get(url)
        if engine is None:
            raise WriteFailedError(f"{url} does not answer", passing=True)
        return engine

    def write(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> Written | Refusal:
        return self._of(url).write_for(values, partition, Caller(is_instance=True))

    def reserve(self, url: str, values: Sequence[Any], partition: int | None, caller: Caller) -> str | Refusal:
        return self._of(url).reserve_for(values, Caller(is_instance=True))

    def write_reserved(self, url: str, token: str, caller: Caller) -> Written:
        return self._of(url).write_reserved(token)

    def give_back(self, url: str, token: str, caller: Caller) -> None:
        self._of(url).give_back(token)


class Place:
    """Implements `Membership`: partitions are dealt by hand, and it may not know whether it has them still."""

    def __init__(self) -> None:
        self.is_in_doubt = False

    def start(self, owner: Owner) -> None:
        owner.joined()

    def close(self) -> None:
        return


class World:
    """One log that outlives its instances."""

    def __init__(self, folder: Path, pipeline: Callable[[], PipelineDescription]) -> None:
        self._folder = folder
        self._pipeline = pipeline
        self._log = DataFolder(folder / "log")
        one = pipeline()
        self._log.open(one.name, one.partitions)
        self.wire = Wire()
        self.engines: dict[str, InstanceEngine] = {}
        self.forward = Handing(self)

    def storage(self, number: int) -> LogStorage:
        return self._log.storage(number, "local", "NORMAL")

    def instance(
        self,
        name: str,
        *,
        flow_control: FlowControlSettings | None = None,
        membership: Membership | None = None,
        clock: Clock | None = None,
        folder: str | None = None,
    ) -> InstanceEngine:
        engine = InstanceEngine(
            self._pipeline(),
            self._folder / (folder or name),
            flow_control=flow_control,
            clock=clock,
            options=EngineOptions(retained_records=None),
            storage=self.storage,
            membership=membership,
            control=self.wire.end(),
            name=name,
        )
        engine.forward_by(self.forward)
        engine.reached_at(gateway=name)
        self.engines[name] = engine
        return engine.start()

    def give(self, engine: InstanceEngine, *numbers: int) -> None:
        """Deals partitions to one of them, and returns when all know that they are open there."""
        engine.given(numbers)
        assert wait_until(lambda: {*numbers} <= {*open_partitions(engine)}), engine.snapshot().closed
        assert wait_until(
            lambda: all(one._board.owner(n) is not None for one in self.engines.values() for n in numbers)
        )

    def lose(self, engine: InstanceEngine, number: int) -> None:
        """Takes one without being asked, and returns when it is closed: nobody fences anybody here."""
        engine.lost([number])
        assert engine._roster._attendants[number].wait_closed(20)

    def close(self) -> None:
        for engine in self.engines.values():
            engine.stop()
        self._log.close()
