"""The file in the data folder that keeps which exporters are paused, over a restart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.core.errors import ConfigurationError, DataFolderError
from engine.core.pause import Pause

NAME = "exporter-pauses.json"


class PauseFile:
    """One JSON object: the pauses by exporter. Replaced whole; one caller at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> dict[str, Pause]:
        """Raises `DataFolderError`: an exporter that somebody holds must not go on because a file cannot be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Pause])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise DataFolderError(
                f"{self.path} says which exporters are paused and cannot be read: {error}; mend it, or delete it "
                "and all exporters go on"
            ) from None

    def write(self, pauses: Mapping[str, Pause]) -> None:
        """Raises `ConfigurationError`, and leaves the file as it was, where it cannot be written."""
        written = self.path.with_suffix(".tmp")
        try:
            with written.open("wb") as file:
                file.write(msgspec.json.encode(dict(pauses)))
                file.flush()
                os.fsync(file.fileno())
            written.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise ConfigurationError(f"the pause cannot be stored in {self.path}: {error.strerror}") from None
