"""Names of another engine's things as labels: short enough, and each its own."""

from __future__ import annotations

from collections.abc import Iterable

# Names of chained operators may go on for pages.
NAME_CHARACTERS_MAX = 120
_ID_CHARACTERS = 8


def shortened(name: str) -> str:
    """On one line, and cut in the middle of nowhere if it must be."""
    plain = " ".join(name.split()) or "unnamed"
    return plain if len(plain) <= NAME_CHARACTERS_MAX else f"{plain[: NAME_CHARACTERS_MAX - 1]}…"


def unique(things: Iterable[tuple[str, str]], taken: Iterable[str] = ()) -> dict[str, str]:
    """A name for each id, of (id, name) in order: a name that is taken gets the beginning of the id behind it."""
    names: dict[str, str] = {}
    used = set(taken)
    for key, name in things:
        short = shortened(name)
        if short in used:
            short = f"{short} ({key[:_ID_CHARACTERS]})"
        if short in used:
            # Ids that begin alike; nothing shorter tells them apart.
            short = f"{shortened(name)} ({key})"
        used.add(short)
        names[key] = short
    return names
