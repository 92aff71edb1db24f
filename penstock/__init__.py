"""Penstock: a stream engine whose flow you can see. `from penstock import Pipeline, lines, jsonl, serve`.

What stands in `__all__` is imported when it is first asked for, so that `penstock --help` does not load an engine.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine import (
        AimdSettings,
        BackPressureMode,
        BackPressureSettings,
        BatchContext,
        BatchProcessor,
        Commands,
        ConfigurationError,
        Engine,
        EngineOptions,
        Exporter,
        ExporterContext,
        FixedSettings,
        FlowControlSettings,
        Gradient2Settings,
        GradientSettings,
        LegacyVegasSettings,
        PenstockError,
        Pipeline,
        ProcessingContext,
        Processor,
        Record,
        RecordFilter,
        RecordType,
        RequestAlgorithm,
        RequestLimitSettings,
        Source,
        SourceBatch,
        SourceStart,
        State,
        TaskFailedError,
        ThrottlingAlgorithm,
        ThrottlingSettings,
        VegasSettings,
        WriteLimitSettings,
        WriteSource,
        parse_duration_ns,
    )
    from engine.core.errors import RefusedRecordsError, RetryLaterError
    from engine.exporting.elasticsearch import elasticsearch
    from engine.exporting.http import http
    from engine.exporting.jsonl import jsonl
    from engine.exporting.postgres import postgres
    from engine.exporting.protocol import LaterExporter, Safe
    from engine.exporting.retry import RetryPolicy
    from engine.exporting.rotation import Rotation
    from engine.instances.engine import InstanceEngine
    from engine.sources.generator import generator
    from engine.sources.lines import lines
    from engine.workers.blueprint import Blueprint
    from engine.workers.engine import WorkerEngine
    from exporter.together import together
    from penstock.serving import gateway, serve
    from penstock.watching import Watch, watch

    __version__: str


def _found(*names: str) -> tuple[str, ...]:
    """The packages beside this one. Raises `ImportError` where a file of somebody else's stands in for one of them."""
    for name in names:
        ours = Path(__file__).parents[1] / name / "__init__.py"
        module = sys.modules.get(name)
        spec = None if module is not None else find_spec(name)
        found = getattr(module, "__file__", None) if spec is None else spec.origin
        if found is not None and ours.is_file() and not (Path(found).is_file() and ours.samefile(found)):
            raise ImportError(
                f"{found} hides Penstock's package {name!r} in {ours.parent}; rename the file, or keep its folder off "
                "the import path"
            )
    return names


# Looked up before anything else: what is hidden would fail later, and not say why.
_PACKAGES = _found("engine", "exporter", "dashboards")

__all__ = [
    # a pipeline and what it is made of
    "Pipeline", "lines", "generator", "RecordFilter", "serve", "together", "gateway", "Engine", "EngineOptions",
    "WorkerEngine", "Blueprint", "InstanceEngine",
    "jsonl", "postgres", "elasticsearch", "http",
    # back pressure
    "BackPressureSettings", "BackPressureMode", "watch", "Watch",
    # flow control
    "FlowControlSettings", "WriteLimitSettings", "ThrottlingSettings", "ThrottlingAlgorithm",
    "RequestLimitSettings", "RequestAlgorithm", "AimdSettings", "FixedSettings", "VegasSettings",
    "GradientSettings", "Gradient2Settings", "LegacyVegasSettings", "parse_duration_ns",
    # what a processor meets
    "Processor", "ProcessingContext", "State", "Record", "RecordType", "WriteSource",
    "BatchProcessor", "BatchContext", "Commands",
    # what a source or an exporter of one's own is
    "Source", "SourceBatch", "SourceStart", "Exporter", "ExporterContext",
    "LaterExporter", "Safe", "RetryPolicy", "Rotation", "RefusedRecordsError", "RetryLaterError",
    # what can go wrong
    "PenstockError", "ConfigurationError", "TaskFailedError",
]  # fmt: skip

_HOMES = {
    "lines": "engine.sources.lines",
    "generator": "engine.sources.generator",
    "jsonl": "engine.exporting.jsonl",
    "postgres": "engine.exporting.postgres",
    "elasticsearch": "engine.exporting.elasticsearch",
    "http": "engine.exporting.http",
    "LaterExporter": "engine.exporting.protocol",
    "Safe": "engine.exporting.protocol",
    "RetryPolicy": "engine.exporting.retry",
    "Rotation": "engine.exporting.rotation",
    "RefusedRecordsError": "engine.core.errors",
    "RetryLaterError": "engine.core.errors",
    "WorkerEngine": "engine.workers.engine",
    "Blueprint": "engine.workers.blueprint",
    "InstanceEngine": "engine.instances.engine",
    "serve": "penstock.serving",
    "gateway": "penstock.serving",
    "together": "exporter.together",
    "watch": "penstock.watching",
    "Watch": "penstock.watching",
}


def _version() -> str:
    # Here, because it takes longer than all else of this module.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("penstock")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "engine")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
