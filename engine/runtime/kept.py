"""What was set by hand and outlives a run: limits by partition, and which exporters are paused."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from engine.core.errors import ConfigurationError, DataFolderError, PenstockError
from engine.core.pause import Pause
from engine.flow.overrides import Override
from engine.runtime.data_folder import NO_SYNC_OF_FOLDERS

log = logging.getLogger("penstock.flow_control")

OVERRIDES = "flow-control-overrides.json"
PAUSES = "exporter-pauses.json"


class Kept(Protocol):
    """What an engine begins with, and where it puts what somebody sets. One caller at a time."""

    def overrides(self) -> Mapping[int, Override]: ...

    def pauses(self) -> Mapping[str, Pause]:
        """Raises `DataFolderError`: an exporter that somebody holds must not go on because a file cannot be read."""
        ...

    def keep_overrides(self, overrides: Mapping[int, Override]) -> None:
        """Those of all partitions. Raises `ConfigurationError`, and keeps what it had."""
        ...

    def keep_pauses(self, pauses: Mapping[str, Pause]) -> None:
        """Those of all exporters. Raises as `keep_overrides`."""
        ...


class KeptInFolder:
    """Implements `Kept` by two files in the data folder, each a JSON object that is replaced as a whole.

    Whoever reads one finds the overrides of all partitions, or the pauses of all exporters, from one moment.
    """

    def __init__(self, folder: Path, *, limits: bool) -> None:
        """`limits` says whether limits outlive a run; pauses always do."""
        self._limits = limits
        self._overrides = folder / OVERRIDES
        self._pauses = folder / PAUSES

    def overrides(self) -> Mapping[int, Override]:
        """Nothing, and a warning, where they cannot be understood (any more)."""
        if not self._limits:
            return {}
        try:
            return msgspec.json.decode(self._overrides.read_bytes(), type=dict[int, Override])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, PenstockError) as error:
            log.warning("%s is not read, the configured limits hold: %s", self._overrides, error)
            return {}

    def pauses(self) -> Mapping[str, Pause]:
        try:
            return msgspec.json.decode(self._pauses.read_bytes(), type=dict[str, Pause])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataFolderError(
                f"{self._pauses} says which exporters are paused and cannot be read: {error}; mend it, or delete it "
                "and all exporters go on"
            ) from None

    def keep_overrides(self, overrides: Mapping[int, Override]) -> None:
        if self._limits:
            _replace(self._overrides, overrides, "what was set by hand")

    def keep_pauses(self, pauses: Mapping[str, Pause]) -> None:
        _replace(self._pauses, pauses, "the pause")


class KeptElsewhere:
    """Implements `Kept` for an engine over a share of a pipeline: whoever runs it said what to begin with, and keeps
    what it is told."""

    def __init__(self, overrides: Mapping[int, Override], pauses: Mapping[str, Pause]) -> None:
        self._overrides = overrides
        self._pauses = pauses

    def overrides(self) -> Mapping[int, Override]:
        return self._overrides

    def pauses(self) -> Mapping[str, Pause]:
        return self._pauses

    def keep_overrides(self, overrides: Mapping[int, Override]) -> None:
        return

    def keep_pauses(self, pauses: Mapping[str, Pause]) -> None:
        return


def _replace(path: Path, rows: Mapping[int, Override] | Mapping[str, Pause], what: str) -> None:
    """Whole or not at all, also when the machine stops."""
    written = path.with_suffix(".tmp")
    try:
        with written.open("wb") as file:
            file.write(msgspec.json.encode(dict(rows)))
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise ConfigurationError(f"{what} cannot be stored in {path}: {error.strerror or error}") from None


def _sync(folder: Path) -> None:
    """The names in it survive the machine, where that can be had."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in NO_SYNC_OF_FOLDERS:
            raise
    finally:
        os.close(file)
