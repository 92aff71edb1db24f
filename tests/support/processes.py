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


def sockets(process_id: int) -> set[str]:
    """The sockets that a process has, by their numbers in the system."""
    found = set()
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            # It was closed just now.
            continue
        if target.startswith("socket:["):
            found.add(target.removeprefix("socket:[").removesuffix("]"))
    return found


def leavable(process_id: int) -> list[str]:
    """What a process has that would stay behind if it was killed: sockets with a path, and shared memory."""
    own = sockets(process_id)
    # Num RefCount Protocol Flags Type St Inode Path; who has no name has no path.
    named = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    memory = [line.split()[-1] for line in Path(f"/proc/{process_id}/maps").read_text().splitlines()]
    return [
        *(words[7] for words in named if len(words) > 7 and words[6] in own),
        *(path for path in memory if path.startswith(("/dev/shm/", "/SYSV"))),
    ]
