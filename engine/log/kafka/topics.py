"""The topics of a pipeline, by name."""

from __future__ import annotations

from typing import NamedTuple


class Topics(NamedTuple):
    """`log` has a message a batch, `state` a message a row of the small state, `inbox` a message a message."""

    prefix: str

    @property
    def log(self) -> str:
        return f"{self.prefix}.log"

    @property
    def state(self) -> str:
        return f"{self.prefix}.state"

    @property
    def inbox(self) -> str:
        return f"{self.prefix}.inbox"

    @property
    def control(self) -> str:
        """What the instances tell each other, in one partition; no part of the log."""
        return f"{self.prefix}.control"

    @property
    def group(self) -> str:
        """Who is in it has partitions."""
        return f"penstock.{self.prefix}"

    @property
    def all(self) -> tuple[str, str, str]:
        return self.log, self.state, self.inbox

    def transactional_id(self, partition: int) -> str:
        return f"{self.prefix}-{partition}"
