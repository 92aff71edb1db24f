"""Logs of a partition alone, outside of any data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from engine.log.local.storage import LocalLogStorage
from engine.log.rows.tables import STATE_NAME


def local_log(folder: Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> LocalLogStorage:
    """The log in this folder, made if it is not there."""
    if not (folder / STATE_NAME).exists():
        LocalLogStorage(folder).make()
    return LocalLogStorage(folder, synchronous=synchronous)
