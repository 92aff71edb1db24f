from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from penstock.settings import RunSettings, load_settings

# The least a file can say; tests put their own sections behind it.
PIPELINE = """\
pipeline:
  name: small
  sources: {input: {lines: {path: input.txt}}}
"""


class Load(Protocol):
    """Reads `text` as the file of settings, with `environment` over it."""

    def __call__(
        self, text: str = "", *, environment: Mapping[str, str] | None = None, pipeline: str = PIPELINE
    ) -> RunSettings: ...


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "input.txt").write_text("one\n")

    def read(text: str = "", *, environment: Mapping[str, str] | None = None, pipeline: str = PIPELINE) -> RunSettings:
        file = tmp_path / "settings.yaml"
        file.write_text(pipeline + text)
        return load_settings(file, environment or {})

    return read
