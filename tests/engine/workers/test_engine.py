"""What an engine over several processes is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import ConfigurationError
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine


def test_an_engine_needs_a_worker_and_a_pipeline_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="workers must be at least 1, not 0"):
        WorkerEngine(Blueprint("module:function"), tmp_path, workers=0)
    for reference in ("module", "module:", ":function"):
        with pytest.raises(ConfigurationError, match="named as module:function"):
            Blueprint(reference)
