"""What was set, value by value, and the place it came from, so that a mistake can name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.core.errors import ConfigurationError

Key = str | int
Path = tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: a line of a file, or a variable of the environment."""

    # The file's name; None for the environment.
    file: str | None
    # The keys as they were written, outermost first, and the line of each; one name for a variable.
    keys: Path
    lines: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        """The beginning of a message: `flights.yaml:14: `, or nothing for a variable."""
        return f"{self.file}:{self.lines[-1] if self.lines else 1}: " if self.file is not None else ""

    @property
    def name(self) -> str:
        """The key in full: `pipeline.transforms[0].parse`, or the variable's name."""
        text = ""
        for key in self.keys:
            text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
        return text

    def up(self, levels: int) -> Place:
        """The place of the section `levels` above; a variable stays what it is."""
        if self.file is None or levels == 0 or levels >= len(self.keys):
            return self
        return Place(self.file, self.keys[:-levels], self.lines[:-levels])

    def down(self, keys: Path) -> Place:
        """The place of a key below that was not written: on the line of the section."""
        return Place(self.file, (*self.keys, *keys), (*self.lines, *[(self.lines or (1,))[-1]] * len(keys)))


@dataclass(frozen=True, slots=True)
class Entry:
    """One value. `path` is the way to it through the keys of the settings; numbers count places of a list."""

    path: Path
    value: Any
    place: Place


class Mistake(ConfigurationError):
    """A value that cannot stand, with its place in front."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(f"{place.where}{place.name}{what if what.startswith((':', ',')) else ' ' + what}")
        self.place = place


class Entries:
    """The values that count, one for each path, and where each was written."""

    def __init__(self) -> None:
        self._by_path: dict[Path, Entry] = {}

    def put(self, entry: Entry) -> None:
        """Sets a value; what was set before at the same path, around it or below it counts no more."""
        path = entry.path
        for other in [*self._by_path]:
            shorter = min(len(other), len(path))
            # The same path keeps its place in the order, and with it the task its place in the pipeline.
            if other != path and other[:shorter] == path[:shorter]:
                del self._by_path[other]
        self._by_path[path] = entry

    def nested(self) -> Any:
        """The values as mappings and lists within a mapping."""
        root: dict[Key, Any] = {}
        for path, entry in self._by_path.items():
            section = root
            for key in path[:-1]:
                section = section.setdefault(key, {})
            section[path[-1]] = entry.value
        return _with_lists(root)

    def is_from_environment(self, path: Path) -> bool:
        """Whether this very value was set by a variable; a default was not."""
        return path in self._by_path and self._by_path[path].place.file is None

    def place(self, path: Path) -> Place | None:
        """Where `path` was written; for what was not, the place it would have in the section around it."""
        below = [entry for p, entry in self._by_path.items() if p[: len(path)] == path]
        if below:
            first = min(below, key=lambda entry: entry.place.lines)
            return first.place.up(len(first.path) - len(path))
        around = self.place(path[:-1]) if len(path) > 1 else None
        if around is None:
            return None
        # Beside a variable the key itself is the best name for what was not set.
        return Place(None, path) if around.file is None else around.down(path[-1:])


def _with_lists(value: Any) -> Any:
    """Turns mappings from 0, 1, 2 … back into lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _with_lists(v) for key, v in value.items()}
    if inner and all(isinstance(key, int) for key in inner):
        return [inner[key] for key in sorted(inner)]
    return inner
