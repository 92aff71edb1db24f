"""Holds the boards against what Grafana 11, 12 and 13 themselves say a dashboard is.

Grafana publishes its types on npm. Each board is written down as TypeScript and checked by its compiler: a key that is
not known, a value of another type or a word that is none of an enumeration is an error with its line. Needs node, and
the network the first time; so it is no test, and `make grafana-schemas` runs it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dashboards.build import GENERATED
from tests.dashboards.generated import opened

FOLDER = Path(__file__).parents[2] / ".grafana"
SCHEMAS = {"11": "11.6.14", "12": "12.4.11", "13": "13.2.3"}
COMPILER = "typescript@5.9.3"

# Which of Grafana's modules says what a panel of this type is, and whether it has settings for each field.
_PANELS = {
    "timeseries": ("TimeSeries", True),
    "stat": ("Stat", False),
    "gauge": ("Gauge", False),
    "state-timeline": ("StateTimeline", True),
    "heatmap": ("Heatmap", True),
    "table": ("Table", True),
}
_OPTIONS = {
    "strict": True,
    "noEmit": True,
    "skipLibCheck": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "types": [],
}
_PREAMBLE = """\
import type * as schema from "@grafana/schema";

// What JSON can say of a type: the word of an enumeration and not its name.
type Json<T> = unknown extends T ? T
  : T extends string ? `${T}`
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
// What the data source for Prometheus adds to a query; the schema leaves this to each data source.
type Query = schema.DataQuery & {
  expr: string; legendFormat: string; instant: boolean; range: boolean; exemplar?: boolean;
  editorMode?: "code" | "builder"; format?: "table" | "time_series" | "heatmap";
};
// An annotation's query is one of the data source too; up to Grafana 12.0 its keys stood beside it.
type Annotation = Omit<schema.AnnotationQuery, "target"> & {
  target?: { expr: string; interval: string; refId: string };
  expr?: string; step?: string; tagKeys?: string; titleFormat?: string; textFormat?: string; useValueForTime?: boolean;
};
// Of a variable the schema leaves out what only some kinds have.
type Variable = schema.VariableModel & { definition?: string };
type Board = Omit<schema.Dashboard, "panels" | "annotations" | "templating"> & {
  annotations: { list: Annotation[] }; templating: { list: Variable[] };
};
type Panel<Options, Custom> = Omit<raw.Panel, "options" | "fieldConfig" | "targets"> & {
  options: Partial<Options>;
  fieldConfig: Omit<raw.FieldConfigSource, "defaults"> & {
    defaults: Omit<raw.FieldConfig, "custom"> & { custom?: Partial<Custom> };
  };
  targets: Query[];
};
type Nothing = Record<string, never>;
"""


def main() -> int:
    """Prints a line for each board and version, or what the compiler says."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        print("grafana-schemas: left out, there is no node here")
        return 0
    _install(npm, FOLDER, COMPILER)
    mistakes = 0
    for major, version in SCHEMAS.items():
        folder = FOLDER / major
        _install(npm, folder, f"@grafana/schema@{version}")
        for board in sorted((GENERATED / "grafana").rglob("*.json")):
            source = typescript(json.loads(board.read_text(encoding="utf-8")), folder)
            (folder / f"{board.stem}.ts").write_text(source, encoding="utf-8")
        (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": _OPTIONS, "include": ["*.ts"]}))
        compiler = FOLDER / "node_modules/typescript/bin/tsc"
        command = [node, compiler, "-p", folder, "--pretty", "false"]
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        said = [line for line in found.stdout.splitlines() if line]
        mistakes += len(said) or found.returncode
        print(f"Grafana {version}: {'all boards are as its schema wants them' if not said else ''}", *said, sep="\n  ")
    return 1 if mistakes else 0


def _install(npm: str, folder: Path, package: str) -> None:
    name, _, version = package.rpartition("@")
    known = folder / "node_modules" / name / "package.json"
    if known.is_file() and json.loads(known.read_text(encoding="utf-8"))["version"] == version:
        return
    folder.mkdir(parents=True, exist_ok=True)
    # So that npm does not look for a project further up.
    (folder / "package.json").write_text('{"private": true}\n')
    quiet = ["--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([npm, "install", *quiet, package], cwd=folder, check=True)


def typescript(board: dict[str, Any], folder: Path) -> str:
    """The board as constants of Grafana's types: first all but its panels, then each of them."""
    dist = folder / "node_modules/@grafana/schema/dist"
    raw = next(path for path in (dist / "types/raw", dist / "esm/raw") if path.is_dir())

    def imported(name: str, place: str) -> str:
        (found,) = (raw / place).glob("*.d.ts")
        return f'import type * as {name} from "./{found.relative_to(folder)}";'.replace(".d.ts", "")

    imports = [imported("raw", "dashboard/x")]
    imports += [imported(name, f"composable/{name.lower()}/panelcfg/x") for name, _ in _PANELS.values()]
    return "\n".join((*imports, _PREAMBLE, *_constants(board)))


def _constants(board: dict[str, Any]) -> Iterator[str]:
    whole = {key: value for key, value in board.items() if key != "panels"}
    yield f"export const board: Json<Board> = {_written(whole)};"
    for panel in opened(board):
        name = f"panel_{panel['id']}"
        if panel["type"] == "row":
            # What is folded up in it stands for itself.
            yield f"export const {name}: Json<raw.RowPanel> = {_written({**panel, 'panels': []})};"
            continue
        module, has_fields = _PANELS[panel["type"]]
        custom = f"{module}.FieldConfig" if has_fields else "Nothing"
        yield f"export const {name}: Json<Panel<{module}.Options, {custom}>> = {_written(panel)};"
        for number, (key, value) in enumerate(_overridden(panel)):
            known = f"Partial<{custom}>" if key.startswith("custom.") else "raw.FieldConfig"
            override = _written({key.removeprefix("custom."): value})
            yield f"export const {name}_override_{number}: Json<{known}> = {override};"


def _overridden(panel: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for override in panel["fieldConfig"]["overrides"]:
        for changed in override["properties"]:
            yield changed["id"], changed["value"]


def _written(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
