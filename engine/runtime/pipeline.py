"""A pipeline that is described step by step, and then run."""

from __future__ import annotations

from pathlib import Path

from engine.flow.settings import FlowControlSettings
from engine.options import EngineOptions
from engine.pipeline import PipelineDescription
from engine.runtime.engine import Engine


class Pipeline(PipelineDescription):
    """Describes a pipeline, step by step, left to right; each method returns the pipeline itself.

    Nothing starts before `run()`.
    """

    def run(
        self,
        data: str | Path,
        *,
        flow_control: FlowControlSettings | None = None,
        options: EngineOptions | None = None,
    ) -> Engine:
        """Builds an engine over the folder `data`; it starts on `with` or `start()`."""
        return Engine(self, Path(data), flow_control=flow_control, options=options)
