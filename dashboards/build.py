"""Writes all files of the bundle, or says which of them are not as they would be written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashboards import grafana, rules
from dashboards.board import Board
from dashboards.boards import BOARDS
from dashboards.places import DEFAULT_PLACES, Places

GENERATED = Path(__file__).parent / "generated"


def files(places: Places = DEFAULT_PLACES) -> Mapping[Path, str]:
    """Every file of the bundle by its path in the folder, with its text."""
    return {
        **{Path("grafana") / _folder(board) / f"{board.uid}.json": grafana.written(board) for board in BOARDS},
        Path("prometheus/penstock.recording.yml"): rules.written(rules.RECORDING_GROUPS, places),
        Path("prometheus/penstock.alerts.yml"): rules.written(rules.ALERT_GROUPS, places),
    }


def _folder(board: Board) -> str:
    """Grafana makes a folder of its own of it: most have no bridges."""
    return "" if board.bridge is None else "Bridges"


def build(folder: Path = GENERATED, places: Places = DEFAULT_PLACES) -> list[Path]:
    """Writes the bundle into `folder`, and touches nothing else there. Returns what was changed."""
    changed = []
    for path, text in files(places).items():
        target = folder / path
        if not target.is_file() or _text(target) != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(path)
    return sorted(changed)


def check(folder: Path = GENERATED, places: Places = DEFAULT_PLACES) -> list[str]:
    """One sentence for each file of the bundle that is in `folder` not as `build` would write it."""
    differences = []
    for path, text in files(places).items():
        if not (folder / path).is_file():
            differences.append(f"{path} is missing")
        elif _text(folder / path) != text:
            differences.append(f"{path} is not what the code says")
    return sorted(differences)


def _text(path: Path) -> str:
    """What is no text at all is no file of ours either."""
    return path.read_text(encoding="utf-8", errors="replace")
