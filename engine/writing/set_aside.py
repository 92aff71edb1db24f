"""Records of one partition's log that a task refuses: kept aside, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.core.records import Record
from engine.writing.reject_folder import ComesAgain, RejectFolder
from engine.writing.rejects import Reject, RejectFile

# Records, each with the reason why it is refused.
Refused = Sequence[tuple[Record, str]]


class RecordsAside:
    """The rejects of a processor or an exporter on one partition. Its task's thread alone calls it."""

    def __init__(self, file: RejectFile, folder: RejectFolder, culprit: str, partition: int) -> None:
        self._file = file
        self._folder = folder
        self._culprit = culprit
        self._partition = partition

    def keep(self, refused: Refused, cause: Exception | None = None) -> None:
        """Raises `OSError` and keeps none. `cause` is what the first of them ended with."""
        self._file.put(
            [
                Reject(
                    source=f"partition {self._partition}",
                    offset=record.position,
                    reason=reason,
                    value=record.value,
                    partition=self._partition,
                    record=record,
                )
                for record, reason in refused
            ],
            cause=cause,
        )

    def take_back(self, refused: Refused) -> None:
        """Nothing comes of what they were refused for: they are decided about once more."""
        places = {(record.position, record.timestamp_ns) for record, _ in refused}

        def is_one(entry: Mapping[str, Any]) -> bool:
            return (
                entry.get("partition") == self._partition
                and (entry.get("position"), entry.get("timestampNs")) in places
            )

        self._folder.take_back(self._culprit, is_one)


def behind(passed: Mapping[int, int]) -> ComesAgain:
    """Whether a reject comes again where each partition is passed up to a position."""

    def comes_again(entry: Mapping[str, Any]) -> bool:
        position = passed.get(entry.get("partition", 0))
        return position is not None and entry.get("position", 0) > position

    return comes_again
