"""Finds the key that is meant: in any spelling, under the names of other systems, short or in full.

A key may be written in camelCase, in kebab-case or, in the environment, in capitals without hyphens. Outside of
`pipeline` a key may hold dots. Below other systems' roots only what Penstock shares with them is read.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from penstock.settings.entries import Entries, Entry, Key, Mistake, Path, Place
from penstock.settings.schema import Root
from penstock.settings.sections import Section, key_of, section_at


@dataclass(frozen=True, slots=True)
class _OtherRoot:
    """Keys of another system, as plain words, and the section that they mean here."""

    written: tuple[str, ...]
    meant: tuple[str, ...]
    # Keys below that have another name there.
    renamed: dict[str, str] = field(default_factory=dict)


_LEGACY = _OtherRoot(("zeebe", "broker", "backpressure"), ("flowControl", "request"))
# From the weakest to the strongest; our own keys are stronger than all.
_OTHER_ROOTS = (
    _LEGACY,
    _OtherRoot(("zeebe", "broker", "flowcontrol"), ("flowControl",)),
    _OtherRoot(
        ("camunda", "processing", "flowcontrol"),
        ("flowControl",),
        {"throttle": "throttling", "windowed": "useWindowed"},
    ),
    _OtherRoot(("jobmanager", "web", "backpressure"), ("web", "backpressure")),
)
_OWN = len(_OTHER_ROOTS)
# Below these roots, what is not known is none of our business.
_FOREIGN = ("zeebe", "camunda")
# One value at the left means the key at the right.
_SHORT: dict[Path, Path] = {
    ("data",): ("data", "path"),
    ("pipeline", "processor"): ("pipeline", "processor", "class"),
}


@dataclass(frozen=True, slots=True)
class Understood:
    """What the settings say, under the keys of the schema."""

    entries: Entries
    # What stands below other systems' roots and means nothing here.
    ignored: tuple[str, ...]


def understand(*layers: Iterable[Entry]) -> Understood:
    """Puts the layers together, a later one over an earlier one. Raises `Mistake` for a value given twice."""
    ignored: dict[str, None] = {}
    # In the order in which they count: by layer, within it by root.
    meant: list[tuple[int, int, Entry]] = []
    for number, layer in enumerate(layers):
        names = {entry.path for _, _, entry in meant}
        for written in layer:
            entry = _with_dots_split(written)
            root = _other_root(entry.path)
            if root is None and _plain(entry.path[0]) in _FOREIGN:
                ignored[_ignored_name(entry)] = None
                continue
            rank = _OWN if root is None else _OTHER_ROOTS.index(root)
            if (found := _under_own_keys(entry, root, names)) is not None:
                meant.append((number, rank, found))
    # The documented fallback: the old section counts only where the new one is not used at all.
    if any(e.path[:2] == _LEGACY.meant and rank != _OTHER_ROOTS.index(_LEGACY) for _, rank, e in meant):
        meant = [m for m in meant if m[1] != _OTHER_ROOTS.index(_LEGACY)]
    _check_given_once(meant)
    entries = Entries()
    for _, _, entry in sorted(meant, key=lambda m: m[:2]):
        entries.put(entry)
    return Understood(entries, tuple(ignored))


def section_for(path: Path) -> Any:
    """What the schema has at `path`: a `Section`, a mapping, a list or a kind of value; None where nothing is."""
    current: Any = Root
    for key in path:
        if _is_section(current):
            field_info = next((f for f in current.model_fields.values() if f.alias == key), None)
            current = None if field_info is None else section_at(field_info.annotation)
        elif typing.get_origin(current) in (dict, list):
            current = section_at(typing.get_args(current)[-1])
        else:
            return None
    return current


def keys_of(section: type[Section]) -> list[str]:
    """The keys that may stand in the section."""
    return [key_of(section, name) for name in section.model_fields]


def all_paths(section: type[Section] = Root, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key with a fixed place, sections included."""
    for info in section.model_fields.values():
        path = (*above, info.alias or "")
        yield path
        inner = section_at(info.annotation)
        if _is_section(inner):
            yield from all_paths(inner, path)


def variable(path: Path) -> str:
    """The environment's name for a key."""
    return "PENSTOCK_" + "_".join(_plain(key).upper() for key in path)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _plain(key: Key) -> str:
    return str(key).replace("-", "").replace("_", "").lower()


def _with_dots_split(entry: Entry) -> Entry:
    """`web.backpressure.mode: x` as if it were written in three sections; names in a pipeline keep their dots."""
    if entry.place.file is None:
        return entry
    in_pipeline = str(entry.path[0]).split(".")[0] == "pipeline"
    keys: list[Key] = []
    lines: list[int] = []
    for depth, (key, line) in enumerate(zip(entry.path, entry.place.lines, strict=True)):
        parts: list[Key] = [key] if isinstance(key, int) or (in_pipeline and depth) else [*key.split(".")]
        keys += parts
        lines += [line] * len(parts)
    return Entry(tuple(keys), entry.value, Place(entry.place.file, tuple(keys), tuple(lines)))


def _other_root(path: Path) -> _OtherRoot | None:
    plain = tuple(map(_plain, path))
    return next((root for root in _OTHER_ROOTS if plain[: len(root.written)] == root.written), None)


def _under_own_keys(entry: Entry, root: _OtherRoot | None, names: set[Path]) -> Entry | None:
    """The entry under the schema's keys as far as they are known; None for an empty section."""
    path = entry.path
    if root is not None:
        below = (root.renamed.get(_plain(key), key) for key in path[len(root.written) :])
        path = (*root.meant, *below)
    current: Any = Root
    found: list[Key] = []
    for key in path:
        if _is_section(current):
            known = next((k for k in keys_of(current) if _plain(k) == _plain(key)), key)
        elif typing.get_origin(current) is dict and entry.place.file is None:
            known = _name_in_file((*found,), key, names)
        else:
            known = key
        found.append(known)
        current = section_for((*found,))
    if entry.value is None and (_is_section(current) or typing.get_origin(current) in (dict, list)):
        return None
    value = entry.value
    if typing.get_origin(current) is list and entry.place.file is None:
        value = [part.strip() for part in str(value).split(",")]
    short = _SHORT.get((*found,))
    if short is not None and not isinstance(value, dict | list):
        found = [*short]
    return dataclasses.replace(entry, path=tuple(found), value=value)


def _name_in_file(above: Path, key: Key, names: set[Path]) -> Key:
    """The name of a source or exporter in the file that a variable's capitals stand for."""
    depth = len(above)
    for path in names:
        if path[:depth] == above and len(path) > depth and _plain(path[depth]) == key:
            return path[depth]
    return key


def _check_given_once(meant: list[tuple[int, int, Entry]]) -> None:
    seen: dict[tuple[int, int, Path], Entry] = {}
    for layer, rank, entry in meant:
        other = seen.get((layer, rank, entry.path))
        if other is not None:
            raise Mistake(entry.place, f"sets again what {other.place.where}{other.place.name} has set")
        seen[layer, rank, entry.path] = entry
    for layer, rank, path in seen:
        for depth in range(1, len(path)):
            if (layer, rank, path[:depth]) in seen:
                raise Mistake(seen[layer, rank, path[:depth]].place, "must be a section of keys, not one value")


def _ignored_name(entry: Entry) -> str:
    """The shortest name that is not on the way to something we read: `zeebe.broker.network`."""
    if entry.place.file is None:
        return entry.place.name
    plain = tuple(map(_plain, entry.path))
    depth = 1
    while depth < len(plain) and any(root.written[:depth] == plain[:depth] for root in _OTHER_ROOTS):
        depth += 1
    return ".".join(map(str, entry.path[:depth]))
