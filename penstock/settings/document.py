"""Reads the YAML file into entries, each with its line."""

from __future__ import annotations

from pathlib import Path as FilePath

import yaml

from engine.core.errors import ConfigurationError
from penstock.settings.entries import Entry, Mistake, Path, Place


def read_document(path: FilePath) -> list[Entry]:
    """The values of the file at `path`, in its order. Raises `ConfigurationError` with file, line and column."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise ConfigurationError(f"{path} is empty; it needs at least the key pipeline")
        if not isinstance(root, yaml.MappingNode):
            raise ConfigurationError(f"{path}:{_line(root)}: a file of settings begins with keys, like pipeline:")
        return _Reader(str(path), loader).entries(root, (), ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigurationError(f"{place}: not readable as YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


class _Reader:
    def __init__(self, file: str, loader: yaml.SafeLoader) -> None:
        self._file = file
        self._loader = loader
        # The nodes around the one in hand: an alias to one of them would never end.
        self._around: list[yaml.Node] = []

    def entries(self, node: yaml.Node, path: Path, lines: tuple[int, ...]) -> list[Entry]:
        place = Place(self._file, path, lines)
        if node in self._around:
            raise Mistake(place, "contains itself")
        self._around.append(node)
        try:
            match node:
                case yaml.MappingNode() if node.value:
                    return self._of_mapping(node, path, lines)
                case yaml.SequenceNode() if node.value:
                    return [
                        entry
                        for i, item in enumerate(node.value)
                        for entry in self.entries(item, (*path, i), (*lines, _line(item)))
                    ]
                case _:
                    return [Entry(path, self._loader.construct_object(node, deep=True), place)]
        finally:
            self._around.pop()

    def _of_mapping(self, node: yaml.MappingNode, path: Path, lines: tuple[int, ...]) -> list[Entry]:
        self._check_keys(node, path)
        # Takes in what `<<` merges; a key written here stands behind a merged one and wins.
        self._loader.flatten_mapping(node)
        found: dict[str, list[Entry]] = {}
        for key, value in node.value:
            found[key.value] = self.entries(value, (*path, key.value), (*lines, _line(key)))
        return [entry for entries in found.values() for entry in entries]

    def _check_keys(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigurationError(f"{self._file}:{_line(key)}: a key must be text")
            if key.value in seen:
                place = Place(self._file, (*path, key.value), (_line(key),))
                raise Mistake(place, f"stands here and on line {seen[key.value]}")
            seen[key.value] = _line(key)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
