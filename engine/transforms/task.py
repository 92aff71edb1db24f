"""The task of one transform step: a buffer in, a buffer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, assert_never

from engine.core.errors import StoppedError
from engine.tasks.buffers import Buffer, InputGate
from engine.tasks.outlets import Outlet

if TYPE_CHECKING:
    from engine.tasks.subtask import Subtask

StepWord = Literal["map", "filter", "flat_map", "map_batch"]
# Tells of a value that the step's function raised on; raises itself where the policy says stop.
Failed = Callable[[Buffer, int, Exception], None]


class StepTask:
    """Applies a step's function to every value, in order; a failing value is given to `failed` and left out."""

    def __init__(
        self,
        kind: StepWord,
        function: Callable[[Any], Any],
        gate: InputGate,
        producers: int,
        outlet: Outlet,
        subtask: Subtask,
        failed: Failed,
    ) -> None:
        self._kind: StepWord = kind
        self._function = function
        self._gate = gate
        self._producers = producers
        self._outlet = outlet
        self._meter = subtask.meter
        self._failed = failed
        self._canceled = False

    def cancel(self) -> None:
        """Ends the task at the next buffer, whatever is on its way; from any thread."""
        self._canceled = True
        self._gate.wake()

    def run(self) -> None:
        ended = 0
        while ended < self._producers:
            # What the outlet keeps is handed on in time also when nothing more comes.
            buffer = self._gate.take(0 if self._gate.queued else self._outlet.look())
            if self._canceled:
                raise StoppedError("the task is canceled")
            if buffer is None:
                continue
            if buffer.end:
                ended += 1
                buffer.recycle()
                continue
            self._meter.records_in += len(buffer.values)
            result = self._apply(buffer)
            self._outlet.send(result)
            self._meter.records_out += len(result.values)
            # After the hand-over: while this task is held back, so is the one before it.
            buffer.recycle()
        self._outlet.end()

    def _apply(self, buffer: Buffer) -> Buffer:
        match self._kind:
            case "map":
                return self._map(buffer)
            case "filter":
                return self._filter(buffer)
            case "flat_map":
                return self._flat_map(buffer)
            case "map_batch":
                return self._map_batch(buffer)
            case _:
                assert_never(self._kind)

    def _map(self, buffer: Buffer) -> Buffer:
        function = self._function
        values: list[Any] = []
        failures: set[int] = set()
        for index, value in enumerate(buffer.values):
            try:
                values.append(function(value))
            except Exception as error:
                self._failed(buffer, index, error)
                failures.add(index)
        offsets = buffer.offsets
        if failures:
            offsets = [buffer.offset_at(i) for i in range(len(buffer.values)) if i not in failures]
        return _like(buffer, values, offsets)

    def _map_batch(self, buffer: Buffer) -> Buffer:
        if not buffer.values:
            return _like(buffer, [], buffer.offsets)
        try:
            return _like(buffer, as_many(self._function, buffer.values), buffer.offsets)
        except StoppedError:
            raise
        except Exception:
            # Some value is to blame: one by one, to find out which.
            pass
        values: list[Any] = []
        offsets: list[int] = []
        for index, value in enumerate(buffer.values):
            try:
                values += as_many(self._function, [value])
            except Exception as error:
                self._failed(buffer, index, error)
                continue
            offsets.append(buffer.offset_at(index))
        return _like(buffer, values, offsets)

    def _filter(self, buffer: Buffer) -> Buffer:
        function = self._function
        values: list[Any] = []
        offsets: list[int] = []
        for index, value in enumerate(buffer.values):
            try:
                keep = function(value)
            except Exception as error:
                self._failed(buffer, index, error)
                continue
            if keep:
                values.append(value)
                offsets.append(buffer.offset_at(index))
        return _like(buffer, values, offsets)

    def _flat_map(self, buffer: Buffer) -> Buffer:
        function = self._function
        values: list[Any] = []
        offsets: list[int] = []
        for index, value in enumerate(buffer.values):
            try:
                produced = list(function(value))
            except Exception as error:
                self._failed(buffer, index, error)
                continue
            values += produced
            offsets += [buffer.offset_at(index)] * len(produced)
        return _like(buffer, values, offsets)


def as_many(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    """What the function makes of them. Raises as it does, and `ValueError` where that is not a value for each."""
    # A list of its own: who empties it must not empty ours.
    made = [*function([*values])]
    if len(made) != len(values):
        raise ValueError(f"of {len(values)} values it made {len(made)}; of each it has to make one")
    return made


def _like(buffer: Buffer, values: list[Any], offsets: list[int] | None) -> Buffer:
    return Buffer(
        buffer.source,
        buffer.sequence,
        buffer.first_offset,
        buffer.last_offset,
        values,
        offsets,
        buffer.cursor,
    )
