"""Writes all files of the bundle, or says which of them are not as they would be written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from dashboards import grafana, rules
from dashboards.boards import BOARDS
from dashboards.places import DEFAULT_PLACES, Places

GENERATED = Path(__file__).parent / "generated"


def files(places: Places = DEFAULT_PLACES) -> Mapping[Path, str]:
    """Every file of the bundle by its path in the folder, with its text."""
    return {
        **{Path("grafana") / f"{board.uid}.json": grafana.written(board) for board in BOARDS},
        Path("prometheus/penstock.recording.yml"): rules.written(rules.RECORDING_GROUPS, places),
        Path("prometheus/penstock.alerts.yml"): rules.written(rules.ALERT_GROUPS, places),
    }


def build(folder: Path = GENERATED, places: Places = DEFAULT_PLACES) -> list[Path]:
    """Writes the bundle into `folder` and takes away what does not belong to it. Returns what was changed."""
    wanted = files(places)
    changed = []
    for stale in _present(folder) - wanted.keys():
        (folder / stale).unlink()
        changed.append(stale)
    for path, text in wanted.items():
        target = folder / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(path)
    return sorted(changed)


def check(folder: Path = GENERATED, places: Places = DEFAULT_PLACES) -> list[str]:
    """One sentence for each file of `folder` that differs from what `build` would write."""
    wanted = files(places)
    present = _present(folder)
    differences = [f"{path} does not belong to the bundle" for path in present - wanted.keys()]
    for path, text in wanted.items():
        if path not in present:
            differences.append(f"{path} is missing")
        elif (folder / path).read_text(encoding="utf-8") != text:
            differences.append(f"{path} is not what the code says")
    return sorted(differences)


def _present(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder) for pattern in ("grafana/*.json", "prometheus/*.yml") for path in folder.glob(pattern)
    }


def main(arguments: list[str]) -> int:
    """The command line of `python -m dashboards`. 0 when done or in sync, 1 when not, 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description="The files for Grafana and Prometheus.")
    parser.add_argument("command", choices=("build", "check"))
    parser.add_argument("folder", nargs="?", type=Path, default=GENERATED)
    parser.add_argument("--grafana-url", default=DEFAULT_PLACES.grafana, help="where alerts send their readers")
    parser.add_argument(
        "--runbooks-url", default=DEFAULT_PLACES.runbooks, help="where the folder docs/runbooks is served"
    )
    chosen = parser.parse_args(arguments)
    places = Places(grafana=chosen.grafana_url.rstrip("/"), runbooks=chosen.runbooks_url.rstrip("/"))
    if chosen.command == "build":
        changed = build(chosen.folder, places)
        for path in changed:
            print(chosen.folder / path)
        print(f"{len(files())} files in {chosen.folder}, {len(changed)} changed")
        return 0
    differences = check(chosen.folder, places)
    for difference in differences:
        print(difference, file=sys.stderr)
    if differences:
        print("run `penstock dashboards build`", file=sys.stderr)
        return 1
    return 0
