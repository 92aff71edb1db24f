"""Where a worker process finds its pipeline: something it can import and call."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.core.errors import ConfigurationError
from engine.pipeline import PipelineDescription


@dataclass(frozen=True, slots=True)
class Blueprint:
    """`module:function` and what to call it with; the same call gives the same pipeline in every process.

    The arguments are plain data that can be pickled. The parent never calls it.
    """

    reference: str
    arguments: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        module, colon, function = self.reference.partition(":")
        if not (module and colon and function):
            raise ConfigurationError(f"a pipeline for workers is named as module:function, not {self.reference!r}")

    def build(self) -> PipelineDescription:
        """Imports and calls it. Raises `ConfigurationError` with one sentence where that gives no pipeline."""
        module_name, _, name = self.reference.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"a worker cannot import {self.reference}: {error}") from error
        make: Callable[..., Any] = found
        pipeline = make(*self.arguments)
        if not isinstance(pipeline, PipelineDescription):
            raise ConfigurationError(f"{self.reference} gives no pipeline but a {type(pipeline).__name__}")
        return pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the parent has to know of a pipeline, as a worker found it."""

    name: str
    partitions: int
    sources: tuple[str, ...]
    exporters: tuple[str, ...]

    @classmethod
    def of(cls, pipeline: PipelineDescription) -> Outline:
        return cls(
            name=pipeline.name,
            partitions=pipeline.partitions,
            sources=tuple(source.name for source in pipeline.sources),
            exporters=tuple(exporter.name for exporter in pipeline.exporters),
        )
