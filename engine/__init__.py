"""The stream engine: sources, flow control, a partitioned durable log, processing, record exporters.

This module is its public door. It knows nothing of metrics libraries, HTTP or Grafana; whoever wants to see
what it does asks for a snapshot. What stands in `__all__` is imported when it is first asked for: who needs one small
thing does not load an engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.backpressure.settings import BackPressureMode, BackPressureSettings
    from engine.core.clock import Clock, ManualClock, SystemClock
    from engine.core.durations import format_duration, parse_duration_ns
    from engine.core.errors import (
        AppendError,
        ConfigurationError,
        DataFolderError,
        LogCorruptedError,
        NotReadyError,
        PenstockError,
        SettingError,
        StoppedError,
        TaskFailedError,
        WriteFailedError,
        WrongRecordError,
    )
    from engine.core.measures import AGE_BOUNDS_SECONDS, LATENCY_BOUNDS_SECONDS, Histogram
    from engine.core.observing import BatchObserver, BatchOutcome, Mark, ObserverFactory, ProcessedBatch
    from engine.core.records import Place, Record, RecordType, WriteSource
    from engine.exporting.protocol import Exporter, ExporterContext, RecordFilter
    from engine.flow.document import flow_control_document
    from engine.flow.episodes import Episode
    from engine.flow.events import LimitChanged
    from engine.flow.gate import Refusal
    from engine.flow.overrides import Override
    from engine.flow.request.limit import RequestLimiterState
    from engine.flow.settings import (
        AimdSettings,
        FixedSettings,
        FlowControlSettings,
        Gradient2Settings,
        GradientSettings,
        LegacyVegasSettings,
        RequestAlgorithm,
        RequestLimitSettings,
        ThrottlingAlgorithm,
        ThrottlingSettings,
        VegasSettings,
        WriteLimitSettings,
    )
    from engine.options import EngineOptions
    from engine.processing.commands import Commands
    from engine.processing.protocol import BatchContext, BatchProcessor, ProcessingContext, Processor, State
    from engine.runtime.engine import Engine
    from engine.runtime.intake import Written
    from engine.runtime.pipeline import Pipeline
    from engine.sources.protocol import Source, SourceBatch, SourceStart

__all__ = [
    "Pipeline", "Engine", "EngineOptions", "BackPressureSettings", "BackPressureMode",
    "Record", "RecordType", "WriteSource", "Place", "Written", "Refusal",
    "Source", "SourceBatch", "SourceStart",
    "Processor", "ProcessingContext", "State", "BatchProcessor", "BatchContext", "Commands",
    "BatchObserver", "BatchOutcome", "Mark", "ObserverFactory", "ProcessedBatch",
    "Exporter", "ExporterContext", "RecordFilter",
    "FlowControlSettings", "WriteLimitSettings", "ThrottlingSettings", "ThrottlingAlgorithm",
    "RequestLimitSettings", "RequestAlgorithm", "RequestLimiterState",
    "Episode", "LimitChanged", "Override", "flow_control_document",
    "AimdSettings", "FixedSettings", "VegasSettings", "GradientSettings", "Gradient2Settings", "LegacyVegasSettings",
    "Histogram", "LATENCY_BOUNDS_SECONDS", "AGE_BOUNDS_SECONDS",
    "Clock", "SystemClock", "ManualClock", "parse_duration_ns", "format_duration",
    "PenstockError", "ConfigurationError", "SettingError", "DataFolderError", "LogCorruptedError", "AppendError",
    "NotReadyError", "StoppedError", "TaskFailedError", "WrongRecordError", "WriteFailedError",
]  # fmt: skip

# Where each name comes from: the same as for the type checker above.
_HOMES = {
    "engine.backpressure.settings": (
        "BackPressureMode",
        "BackPressureSettings",
    ),
    "engine.core.clock": (
        "Clock",
        "ManualClock",
        "SystemClock",
    ),
    "engine.core.durations": (
        "format_duration",
        "parse_duration_ns",
    ),
    "engine.core.errors": (
        "AppendError",
        "ConfigurationError",
        "DataFolderError",
        "LogCorruptedError",
        "NotReadyError",
        "PenstockError",
        "SettingError",
        "StoppedError",
        "TaskFailedError",
        "WriteFailedError",
        "WrongRecordError",
    ),
    "engine.core.measures": (
        "AGE_BOUNDS_SECONDS",
        "LATENCY_BOUNDS_SECONDS",
        "Histogram",
    ),
    "engine.core.observing": (
        "BatchObserver",
        "BatchOutcome",
        "Mark",
        "ObserverFactory",
        "ProcessedBatch",
    ),
    "engine.core.records": (
        "Place",
        "Record",
        "RecordType",
        "WriteSource",
    ),
    "engine.exporting.protocol": (
        "Exporter",
        "ExporterContext",
        "RecordFilter",
    ),
    "engine.flow.document": ("flow_control_document",),
    "engine.flow.episodes": ("Episode",),
    "engine.flow.events": ("LimitChanged",),
    "engine.flow.gate": ("Refusal",),
    "engine.flow.overrides": ("Override",),
    "engine.flow.request.limit": ("RequestLimiterState",),
    "engine.flow.settings": (
        "AimdSettings",
        "FixedSettings",
        "FlowControlSettings",
        "Gradient2Settings",
        "GradientSettings",
        "LegacyVegasSettings",
        "RequestAlgorithm",
        "RequestLimitSettings",
        "ThrottlingAlgorithm",
        "ThrottlingSettings",
        "VegasSettings",
        "WriteLimitSettings",
    ),
    "engine.options": ("EngineOptions",),
    "engine.processing.commands": ("Commands",),
    "engine.processing.protocol": (
        "BatchContext",
        "BatchProcessor",
        "ProcessingContext",
        "Processor",
        "State",
    ),
    "engine.runtime.engine": ("Engine",),
    "engine.runtime.intake": ("Written",),
    "engine.runtime.pipeline": ("Pipeline",),
    "engine.sources.protocol": (
        "Source",
        "SourceBatch",
        "SourceStart",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
