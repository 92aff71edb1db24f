"""Looking at processes from outside."""

from __future__ import annotations

from pathlib import Path


def children(process_id: int) -> list[int]:
    """The processes that this one started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # Behind the name, which stands in brackets: state, parent.
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            # It ended just now.
            continue
        if int(parent) == process_id and state != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
