"""What a user asks for: sources, steps, a processor, exporters, and how many partitions.

A plain description, which knows nobody who runs it (`engine/runtime/pipeline.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

from engine.core.errors import ConfigurationError
from engine.core.observing import ObserverFactory
from engine.exporting.protocol import ExporterFactory, RecordFilter
from engine.exporting.refusals import OnRefusal
from engine.exporting.retry import RetryPolicy
from engine.partition.always_allowed import NOTHING, AlwaysAllowed
from engine.processing.protocol import ProcessorFactory
from engine.sources.protocol import Source

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\- ]{0,63}")
OnError = Literal["reject", "stop"]
KeyFunction = Callable[[Any], Any]


class StepKind(StrEnum):
    """What a transform step does with a value."""

    MAP = "map"
    FILTER = "filter"
    FLAT_MAP = "flat_map"
    MAP_BATCH = "map_batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """One source and its name."""

    name: str
    source: Source
    on_error: OnError = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One transform step; steps of the same parallelism may share a task."""

    name: str
    kind: StepKind
    function: Callable[[Any], Any]
    parallelism: int = 1
    on_error: OnError = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorSpec:
    """The processor: one instance a partition."""

    factory: ProcessorFactory
    name: str = "processor"
    on_error: OnError = "reject"
    # How often a record whose processing raised is tried in all before the policy decides.
    attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec:
    """One record exporter: an instance a partition."""

    name: str
    factory: ExporterFactory
    filter: RecordFilter = field(default_factory=RecordFilter)
    start: Literal["beginning", "end"] = "beginning"
    max_records_per_second: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    # What becomes of a record that is to blame for being refused, and after how many attempts.
    on_error: OnRefusal = "reject"
    attempts: int = 3


class PipelineDescription:
    """Describes a pipeline, step by step, left to right; each method returns the pipeline itself."""

    def __init__(self, name: str, *, partitions: int = 1) -> None:
        self.name = _checked_name("pipeline", name)
        if not 1 <= partitions <= 1024:
            raise ConfigurationError(f"partitions must lie between 1 and 1024, not {partitions}")
        self.partitions = partitions
        self.sources: list[SourceSpec] = []
        self.steps: list[StepSpec] = []
        self.processor: ProcessorSpec | None = None
        self.exporters: list[ExporterSpec] = []
        self.key: KeyFunction | None = None
        self.value_type = "record"
        self.always_allowed: AlwaysAllowed = NOTHING
        self.observer: ObserverFactory | None = None

    def source(self, name: str, source: Source, *, on_error: OnError = "reject") -> Self:
        """Adds a source; records of all sources flow into the same steps."""
        self._unused_task_name(name)
        self.sources.append(SourceSpec(name=name, source=source, on_error=on_error))
        return self

    def map(
        self, name: str, function: Callable[[Any], Any], *, parallelism: int = 1, on_error: OnError = "reject"
    ) -> Self:
        """Replaces each value by `function(value)`. Must be deterministic: after a restart it runs again."""
        return self._step(name, StepKind.MAP, function, parallelism, on_error)

    def filter(
        self, name: str, function: Callable[[Any], Any], *, parallelism: int = 1, on_error: OnError = "reject"
    ) -> Self:
        """Keeps the values for which `function(value)` is true."""
        return self._step(name, StepKind.FILTER, function, parallelism, on_error)

    def flat_map(
        self, name: str, function: Callable[[Any], Any], *, parallelism: int = 1, on_error: OnError = "reject"
    ) -> Self:
        """Replaces each value by the values that `function(value)` yields, in order."""
        return self._step(name, StepKind.FLAT_MAP, function, parallelism, on_error)

    def map_batch(
        self,
        name: str,
        function: Callable[[list[Any]], Sequence[Any]],
        *,
        parallelism: int = 1,
        on_error: OnError = "reject",
    ) -> Self:
        """Replaces many values at once: `function` is given a list and returns as many values, in the same order.

        Where it raises, it is called again with each value alone, so it must leave the values it is given as they are.
        """
        return self._step(name, StepKind.MAP_BATCH, function, parallelism, on_error)

    def key_by(self, key: str | KeyFunction) -> Self:
        """Says which partition a record goes to: a field's name or a function of the value."""
        self.key = _key_function(key)
        return self

    def always_allow(self, *intents: str, value_type: str | None = None) -> Self:
        """Marks commands that finish work (of one value type, or of all): no limit ever refuses or holds them.

        Nor the results of their processing. They do count against the limits that others meet.
        """
        for intent in intents:
            if not intent:
                raise ConfigurationError("an intent that is always allowed needs a name")
            self.always_allowed = self.always_allowed.with_intent(intent, value_type)
        return self

    def process(
        self,
        factory: ProcessorFactory,
        *,
        key: str | KeyFunction | None = None,
        name: str = "processor",
        on_error: OnError = "reject",
        attempts: int = 3,
    ) -> Self:
        """Sets the processor: a class (or function) that makes one instance a partition."""
        if self.processor is not None:
            raise ConfigurationError(f"pipeline {self.name!r} has a processor already")
        if attempts < 1:
            raise ConfigurationError(f"{name}: attempts must be at least 1, not {attempts}")
        self._unused_task_name(name)
        self.processor = ProcessorSpec(factory=factory, name=name, on_error=on_error, attempts=attempts)
        if key is not None:
            self.key_by(key)
        return self

    def export(
        self,
        name: str,
        factory: ExporterFactory,
        *,
        filter: RecordFilter | None = None,
        start: Literal["beginning", "end"] = "beginning",
        max_records_per_second: float | None = None,
        retry: RetryPolicy | None = None,
        on_error: OnRefusal = "reject",
        attempts: int = 3,
    ) -> Self:
        """Adds a record exporter; each has its own position, thread and retries.

        `on_error` is for records that are refused so many times (`attempts`) while others are taken.
        """
        self._unused_task_name(name)
        if attempts < 1:
            raise ConfigurationError(f"exporter {name!r}: attempts must be at least 1, not {attempts}")
        if max_records_per_second is not None and not max_records_per_second > 0:
            raise ConfigurationError(
                f"exporter {name!r}: maxRecordsPerSecond must be greater than 0, not {max_records_per_second}"
            )
        self.exporters.append(
            ExporterSpec(
                name=name,
                factory=factory,
                filter=filter or RecordFilter(),
                start=start,
                max_records_per_second=max_records_per_second,
                retry=retry or RetryPolicy(),
                on_error=on_error,
                attempts=attempts,
            )
        )
        return self

    def observe(self, factory: ObserverFactory) -> Self:
        """Has every processed batch told to what `factory(name of the pipeline)` makes: one for each process."""
        self.observer = factory
        return self

    def _step(
        self,
        name: str,
        kind: StepKind,
        function: Callable[[Any], Any],
        parallelism: int,
        on_error: OnError,
    ) -> Self:
        self._unused_task_name(name)
        if not 1 <= parallelism <= 1024:
            raise ConfigurationError(f"{name}: parallelism must lie between 1 and 1024, not {parallelism}")
        self.steps.append(StepSpec(name=name, kind=kind, function=function, parallelism=parallelism, on_error=on_error))
        return self

    def _unused_task_name(self, name: str) -> None:
        _checked_name("task", name)
        taken = ["log-writer", "flow-control", "key", *(s.name for s in self.sources), *(s.name for s in self.steps)]
        taken += [exporter.name for exporter in self.exporters]
        if self.processor is not None:
            taken.append(self.processor.name)
        if name in taken:
            raise ConfigurationError(f"task name {name!r} is taken; each task needs a name of its own")


def _checked_name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{what} name {name!r} must be 1 to 64 letters, digits, blanks, dots, hyphens or underscores "
            "and begin with a letter or digit"
        )
    return name


def _key_function(key: str | KeyFunction) -> KeyFunction:
    if callable(key):
        return key
    return lambda value: value[key]
