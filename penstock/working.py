"""What a worker process of `penstock run` begins with."""

from __future__ import annotations

import os
from pathlib import Path

from engine.pipeline import PipelineDescription


def pipeline_of_file(file: str) -> PipelineDescription:
    """The pipeline of the file, with user code imported; logs as the file says. Called once in each worker."""
    from penstock.cli.log_output import configure
    from penstock.settings import load_settings

    settings = load_settings(Path(file), os.environ)
    configure(settings.logging, settings.secrets)
    return settings.pipeline
