"""Who owns what, as instances are told: somebody else decides, and says it by these calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Owner(Protocol):
    """An instance as the one who deals the partitions sees it. One caller at a time."""

    def given(self, partitions: Iterable[int]) -> None:
        """These belong here from now on. Returns at once: they are opened on threads of their own."""
        ...

    def taken(self, partitions: Iterable[int]) -> None:
        """These will belong to another one: closes them in good order, and returns when they are, or in a while."""
        ...

    def lost(self, partitions: Iterable[int]) -> None:
        """These belong to another one already: nothing is written any more. Returns at once."""
        ...

    def joined(self) -> None:
        """It is known for the first time what belongs here, be it nothing."""
        ...

    def expelled(self, why: str) -> None:
        """Nothing will ever belong here again: one sentence."""
        ...


class Membership(Protocol):
    """A place among the instances of a pipeline."""

    def start(self, owner: Owner) -> None:
        """Joins, on a thread of its own, which alone calls `owner`. Raises `PenstockError`."""
        ...

    @property
    def is_in_doubt(self) -> bool:
        """Whether all that was given may be another one's by now, and nobody here knows: the process stood still for
        so long, and has not heard anything since. Any thread may ask."""
        ...

    def close(self) -> None:
        """Leaves: what is still owned is taken first. Returns when it is left, or in a while."""
        ...
