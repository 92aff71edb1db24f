"""An engine over several processes has the door of an engine in one."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from engine import ConfigurationError, Engine
from engine.workers.blueprint import Blueprint
from engine.workers.engine import WorkerEngine

# How it is made differs, and the pipeline itself is not in the parent.
DOOR = [name for name in vars(Engine) if not name.startswith("_")]


@pytest.mark.parametrize("name", DOOR)
def test_what_an_engine_can_be_asked_workers_can_be_asked(name: str) -> None:
    ours, theirs = getattr(WorkerEngine, name, None), getattr(Engine, name)
    if callable(theirs):
        assert callable(ours)
        assert inspect.signature(ours) == inspect.signature(theirs)
    else:
        assert isinstance(ours, property)


def test_an_engine_needs_a_worker_and_a_pipeline_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="workers must be at least 1, not 0"):
        WorkerEngine(Blueprint("module:function"), tmp_path, workers=0)
    for reference in ("module", "module:", ":function"):
        with pytest.raises(ConfigurationError, match="named as module:function"):
            Blueprint(reference)
