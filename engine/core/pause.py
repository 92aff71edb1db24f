"""Why an exporter stands still: somebody wanted it so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Holds until somebody ends it, over restarts too."""

    # It exports, and acknowledges nothing: the log keeps what a backup that is under way may not have.
    soft: bool = False
    since_wall_ns: int
    # Who wanted it, where that is known.
    by: str | None = None
