"""A value that a source found and could not read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a batch in place of a value, so that the offsets around it stay right.

    The source's task gives it to the error policy of the source (`onError`) and hands on the rest.
    """

    # One sentence for whoever reads the rejects.
    reason: str
    # The beginning of what was found, to recognise it by.
    excerpt: bytes


class UnreadableError(ValueError):
    """How the error policy is told of an `Unreadable`; its text is the reason."""
