"""How many connections a port may hold, of the descriptors that this process may have."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass

# Left to the engine: files of the log, exporters and their targets, links to workers.
_ENGINES = 256
# More than any port of ours may ask for; some programs walk through all descriptors that are possible.
_RAISED_TO_MAX = 65_536
_log = logging.getLogger("penstock.http")


@dataclass(frozen=True, slots=True)
class Places:
    """Connections that are in, and those that the kernel holds until they are accepted."""

    connections: int
    backlog: int


def places(port: str, *, connections: int, backlog: int) -> Places:
    """As many as are wanted, where half of what is not the engine's has room for them; with a warning if not."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Places(connections, backlog)
    room = max((soft - _ENGINES) // 2, soft // 8, 8)
    affordable = min(connections, room * 3 // 4)
    if affordable < connections:
        _log.warning(
            "the %s takes at most %d connections instead of %d: the limit of open files is %d",
            port, affordable, connections, soft,
        )  # fmt: skip
    return Places(affordable, min(backlog, max(room - affordable, 1)))


def raise_limit() -> None:
    """Takes as many descriptors as the system lets this process have: the usual 1024 are a shell's default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _RAISED_TO_MAX if hard == resource.RLIM_INFINITY else min(hard, _RAISED_TO_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # It stays as it was, and fewer may come in.
            return
