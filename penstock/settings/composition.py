"""Makes the `Pipeline` that a file describes, and says of each of its tasks what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.core.errors import ConfigurationError
from engine.exporting.protocol import RecordFilter
from engine.exporting.retry import RetryPolicy
from engine.kafka.settings import KafkaConnection
from engine.runtime.pipeline import Pipeline
from engine.sources.generator import Generator
from engine.sources.lines import STANDARD_INPUT, lines
from engine.sources.protocol import Source
from engine.sources.traffic import Traffic
from penstock.settings.entries import Entries, Mistake, Place
from penstock.settings.entries import Path as Keys
from penstock.settings.exporter_kinds import ExporterKinds
from penstock.settings.exporters import ExporterSection
from penstock.settings.fitting import check_class, check_function
from penstock.settings.kafka import KafkaSourceSection, connection
from penstock.settings.schema import (
    GeneratorSection,
    LinesSection,
    PipelineSection,
    ProcessorSection,
    SourceSection,
    StepSection,
)
from penstock.settings.user_code import UserCodeError, load

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TaskOutline:
    """One task, for people: `source`, `flights`, `lines of /…/flights.ndjson.gz`."""

    kind: str
    name: str
    what: str


class Composer:
    """Builds the pipeline of one file; a mistake is said with its place.

    Without `imports_code` the functions and classes of users are only named: the pipeline can be looked at, not run.
    """

    def __init__(
        self,
        entries: Entries,
        file: Path,
        *,
        imports_code: bool = True,
    ) -> None:
        # That of the log, for sources and exporters that name none.
        self.default_cluster: KafkaConnection | None = None
        self.imports_code = imports_code
        self._entries = entries
        self._file = file
        self._folder = file.resolve().parent
        self._standard_input_is_taken = False
        self.outline: list[TaskOutline] = []

    def compose(self, section: PipelineSection) -> Pipeline:
        """Adds the tasks from left to right and checks that the sources can be opened."""
        at: Keys = ("pipeline",)
        pipeline = self.placed((*at, "name"), lambda: Pipeline(section.name, partitions=section.partitions))
        pipeline.value_type = section.value_type
        for name in section.always_allowed:
            *value_type, intent = name.split("/", 1)
            pipeline.always_allow(intent, value_type=value_type[0] if value_type else None)
        for name, source in section.sources.items():
            self._add_source(pipeline, name, source, (*at, "sources", name))
        for i, named in enumerate(section.transforms):
            for name, step in named.items():
                self._add_step(pipeline, name, step, (*at, "transforms", i, name))
        if section.key is not None:
            key = section.key
            pipeline.key_by(self._key_function(key, (*at, "key")) if ":" in key else key)
        elif section.partitions > 1 and section.sources:
            raise Mistake(
                self.place((*at, "key")),
                f"is missing: with {section.partitions} partitions it says which of them a record goes to; name a "
                "field of the value, or a function (module:function)",
            )
        if section.processor is not None:
            self._add_processor(pipeline, section.processor, (*at, "processor"))
        kinds = ExporterKinds(self, self.default_cluster)
        for name, exporter in section.exporters.items():
            self._add_exporter(pipeline, kinds, name, exporter)
        return pipeline

    def _key_function(self, reference: str, at: Keys) -> Callable[..., Any]:
        function = self.code(reference, at)
        self.placed(at, lambda: check_function(function, "a value"))
        return function

    def path(self, written: str, at: Keys) -> Path:
        """A path of the file is relative to the file's folder, one of the environment to the working folder."""
        base = Path.cwd() if self._entries.is_from_environment(at) else self._folder
        return base / Path(written).expanduser()

    def _add_source(self, pipeline: Pipeline, name: str, section: SourceSection, at: Keys) -> None:
        if section.kafka is not None:
            self._add_topic(pipeline, name, section, section.kafka, (*at, "kafka"))
            return
        if section.lines is not None:
            source, what = self._lines(section.lines, (*at, "lines"))
        else:
            assert section.generator is not None, "the section has exactly one kind"
            source, what = self._generator(section.generator, (*at, "generator"))
        self.placed(at, lambda: pipeline.source(name, source, on_error=section.on_error))
        self.outline.append(TaskOutline("source", name, what))

    def _lines(self, section: LinesSection, at: Keys) -> tuple[Source, str]:
        path: str | Path = section.path
        if path != STANDARD_INPUT:
            path = self.path(section.path, (*at, "path"))
        elif self._standard_input_is_taken:
            raise Mistake(self.place((*at, "path")), "is standard input, which another source reads already")
        else:
            self._standard_input_is_taken = True
        # Who imports no code decodes no line either.
        made = self.code(section.type, (*at, "type")) if section.type is not None and self.imports_code else None
        source = self.placed(
            at,
            lambda: lines(
                path,
                format=section.format,
                type=made,
                encoding=section.encoding,
                delimiter=section.delimiter,
                quote=section.quote,
                escape=section.escape,
                lazy_quotes=section.lazy_quotes,
                columns=section.columns,
                column_names=section.column_names,
                follow=section.follow,
                line_bytes_max=section.max_line_bytes,
            ),
        )
        self.placed((*at, "path"), source.check)
        return source, f"lines of {source.describe()}"

    def _add_topic(
        self, pipeline: Pipeline, name: str, section: SourceSection, topic: KafkaSourceSection, at: Keys
    ) -> None:
        """A source for each partition of the topic, for each has an order of its own."""
        from engine.sources.kafka import kafka_partitions

        where = connection(topic, at, self, self.default_cluster)
        sources = self.placed(
            at, lambda: kafka_partitions(where, topic.topic, format=topic.format, partitions=pipeline.partitions)
        )
        for number, source in enumerate(sources, 1):
            one = name if len(sources) == 1 else f"{name}-{number}"
            self.placed(at, lambda one=one, source=source: pipeline.source(one, source, on_error=section.on_error))  # type: ignore[misc]
            self.outline.append(TaskOutline("source", one, source.describe()))

    def _generator(self, section: GeneratorSection, at: Keys) -> tuple[Source, str]:
        def make() -> Source:
            traffic = Traffic(
                shape=section.shape,
                rate=section.rate,
                peak=section.peak,
                period_ns=section.period,
                burst_ns=section.burst,
            )
            return Generator(traffic, keys=section.keys, seed=section.seed, count=section.count)

        source = self.placed(at, make)
        return source, source.describe()

    def _add_step(self, pipeline: Pipeline, name: str, section: StepSection, at: Keys) -> None:
        kind, key, add = next(
            (kind, key, add)
            for kind, key, add in (
                (section.map, "map", pipeline.map),
                (section.filter, "filter", pipeline.filter),
                (section.flat_map, "flatMap", pipeline.flat_map),
                (section.map_batch, "mapBatch", pipeline.map_batch),
            )
            if kind is not None
        )
        function = self.code(kind, (*at, key))
        takes = "a list of values" if key == "mapBatch" else "a value"
        self.placed((*at, key), lambda: check_function(function, takes))
        self.placed(at, lambda: add(name, function, parallelism=section.parallelism, on_error=section.on_error))
        times = f", {section.parallelism} subtasks" if section.parallelism > 1 else ""
        self.outline.append(TaskOutline("transform", name, f"{key} {kind}{times}"))

    def _add_processor(self, pipeline: Pipeline, section: ProcessorSection, at: Keys) -> None:
        factory = self.code(section.class_, (*at, "class"))
        if self.imports_code:
            self.placed((*at, "class"), lambda: check_class(factory, _processor_methods(factory), {}))
        self.placed(
            at,
            lambda: pipeline.process(factory, name=section.name, on_error=section.on_error, attempts=section.attempts),
        )
        self.outline.append(TaskOutline("processor", section.name, section.class_))

    def _add_exporter(self, pipeline: Pipeline, kinds: ExporterKinds, name: str, section: ExporterSection) -> None:
        at: Keys = ("pipeline", "exporters", name)
        factory, what = kinds.make(name, section, at)
        wanted = RecordFilter(
            record_types=None if section.record_types is None else frozenset(section.record_types),
            value_types=None if section.value_types is None else frozenset(section.value_types),
        )
        retry = self.placed(
            (*at, "retry"), lambda: RetryPolicy(first_ns=section.retry.first, longest_ns=section.retry.longest)
        )
        self.placed(
            at,
            lambda: pipeline.export(
                name,
                factory,
                filter=wanted,
                start=section.start,
                max_records_per_second=section.max_records_per_second,
                retry=retry,
                on_error=section.on_error,
                attempts=section.attempts,
            ),
        )
        only = [*(section.value_types or ()), *(section.record_types or ())]
        of = f", only {', '.join(only)}" if only else ""
        pace = section.max_records_per_second
        at_most = f", at most {pace:g} records per second" if pace is not None else ""
        self.outline.append(TaskOutline("exporter", name, f"{what}{of}{at_most}"))

    # -- what the parts of a file need to know of it ---

    def code(self, reference: str, at: Keys) -> Callable[..., Any]:
        if not self.imports_code:
            return _Elsewhere(reference)
        try:
            return load(reference, self._folder)
        except UserCodeError as error:
            raise Mistake(self.place(at), str(error)) from error

    def placed(self, at: Keys, act: Callable[[], T]) -> T:
        """Does `act`; what it refuses is said with the place of `at`."""
        try:
            return act()
        except ConfigurationError as error:
            raise Mistake(self.place(at), f": {error}") from error

    def place(self, at: Keys) -> Place:
        return self._entries.place(at) or Place(str(self._file), at, (1,) * len(at))


def _processor_methods(factory: Callable[..., Any]) -> dict[str, tuple[str, str]]:
    """Those that it has to have: at least one of both."""
    batch = {"process_batch": ("commands", "context")} if hasattr(factory, "process_batch") else {}
    return batch if batch and not hasattr(factory, "process") else {"process": ("record", "context"), **batch}


class _Elsewhere:
    """Stands for a function or class of a user's that only the workers import."""

    def __init__(self, reference: str) -> None:
        self._reference = reference

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{self._reference} runs in the workers alone")
