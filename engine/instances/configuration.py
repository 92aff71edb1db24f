"""What an instance runs, in short hashes: instances of one pipeline should all run the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from engine.flow.document import flow_control_document
from engine.flow.settings import FlowControlSettings
from engine.pipeline import PipelineDescription


def configuration_of(pipeline: PipelineDescription, flow_control: FlowControlSettings) -> Mapping[str, str]:
    """By part. Of user code its name counts: what it does is not looked at."""
    processor = pipeline.processor
    parts: Mapping[str, object] = {
        "partitions": pipeline.partitions,
        "sources": [(source.name, source.source.describe(), source.on_error) for source in pipeline.sources],
        "transforms": [
            (step.name, step.kind, _name(step.function), step.parallelism, step.on_error) for step in pipeline.steps
        ],
        "processor": processor and (processor.name, _name(processor.factory), processor.on_error, processor.attempts),
        "exporters": [
            (one.name, one.start, one.on_error, one.attempts, one.max_records_per_second, repr(one.filter))
            for one in pipeline.exporters
        ],
        "flowControl": sorted(map(str, flow_control_document(flow_control).items())),
    }
    return {part: _hash(what) for part, what in parts.items()}


def hash_of(configuration: Mapping[str, str]) -> str:
    """One for all parts."""
    return _hash(sorted(configuration.items()))


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[str, ...]:
    """The parts that are not the same; what one of both does not know is none."""
    return tuple(part for part, what in ours.items() if part in theirs and theirs[part] != what)


def _hash(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def _name(code: Callable[..., Any]) -> str:
    return f"{getattr(code, '__module__', '')}:{getattr(code, '__qualname__', type(code).__name__)}"
