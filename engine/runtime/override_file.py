"""The file in the data folder that keeps what was set by hand over a restart, where that is asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.core.errors import ConfigurationError, PenstockError
from engine.flow.overrides import Override

log = logging.getLogger("penstock.flow_control")

NAME = "flow-control-overrides.json"


class OverrideFile:
    """One JSON object: the overrides of a pipeline by partition. One caller at a time.

    It is replaced whole: whoever reads it finds the overrides of all partitions from one moment.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> Mapping[int, Override]:
        """What was stored; nothing, and a warning, where it cannot be understood (any more)."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[int, Override])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, PenstockError) as error:
            log.warning("%s is not read, the configured limits hold: %s", self.path, error)
            return {}

    def write(self, overrides: Mapping[int, Override]) -> None:
        """Raises `ConfigurationError`, and leaves the file as it was, where it cannot be written."""
        written = self.path.with_suffix(".tmp")
        try:
            with written.open("wb") as file:
                file.write(msgspec.json.encode(dict(overrides)))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"what was set by hand cannot be stored in {self.path}: {error.strerror}"
            ) from None
