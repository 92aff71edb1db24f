"""The rules of the house that a machine can check: who imports whom, and that importing does nothing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.many import for_each

ROOT = Path(__file__).parent.parent
PACKAGES = ("engine", "exporter", "dashboards", "penstock")

# The one file or folder that may import each outside library; "" is everywhere.
HOMES: dict[str, tuple[str, ...]] = {
    "prometheus_client": ("exporter/prometheus/",),
    "opentelemetry": ("exporter/otlp/",),
    "starlette": ("exporter/management/", "exporter/gateway/"),
    "uvicorn": ("exporter/management/", "exporter/gateway/", "exporter/http_server.py"),
    "h11": ("exporter/management/",),
    "uvloop": ("exporter/gateway/",),
    "httptools": ("exporter/gateway/",),
    "confluent_kafka": ("engine/kafka/", "engine/log/kafka/"),
    "psycopg": ("engine/exporting/",),
    "httpx": ("engine/exporting/",),
    "bcrypt": ("exporter/web_config/",),
    "grafanalib": ("dashboards/",),
    "pydantic": ("penstock/settings/",),
    "pydantic_core": ("penstock/settings/",),
    "yaml": ("penstock/settings/", "dashboards/", "exporter/web_config/"),
    "click": ("penstock/cli/", "penstock/demo/"),
    "rich": ("penstock/cli/", "penstock/demo/"),
    "backports": ("engine/sources/packings.py",),
    "msgspec": ("engine/", "exporter/", "penstock/"),
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, wherever in it; relative imports stay inside and do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


EACH_MODULE = for_each((name(path), (path,)) for path in sources(*PACKAGES))


def test_the_contracts_of_import_linter_hold() -> None:
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def drawn_floors() -> dict[str, tuple[int, set[str]]]:
    """Of each room, as docs/design.md draws them: its floor, and the rooms it may import."""
    floors: dict[str, tuple[int, set[str]]] = {}
    for line in (ROOT / "docs" / "design.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| (\d) \| ([^|]+) \| ([^|]+) \|", line)
        if row is None:
            continue
        floor, rooms, imports = int(row[1]), re.findall(r"`(\w+)`", row[2]), set(re.findall(r"`(\w+)`", row[3]))
        floors |= dict.fromkeys(rooms, (floor, imports))
    everything = {room: floor for room, (floor, _) in floors.items()}
    return {
        room: (floor, {one for one, at in everything.items() if at < floor} if floor >= 6 else imports)
        for room, (floor, imports) in floors.items()
    }


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "door"


def engine_imports() -> dict[str, set[str]]:
    """Each module of the engine with those of it that it imports, also for the type checker alone."""
    import grimp

    graph = grimp.build_graph("engine")
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def test_the_rooms_of_the_engine_are_those_that_the_design_draws_and_stand_on_its_floors() -> None:
    drawn = drawn_floors()
    rooms = {room_of(path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")) for path in sources("engine")}
    assert rooms - {"__init__"} == set(drawn)
    arrows = {(room_of(module), room_of(one)) for module, found in engine_imports().items() for one in found}
    wrong = {
        (room, one)
        for room, one in arrows
        if room not in ("door", one) and (one not in drawn[room][1] or drawn[one][0] >= drawn[room][0])
    }
    assert not wrong, f"docs/design.md draws no such arrow: {sorted(wrong)}"


def test_no_module_of_the_engine_imports_in_a_circle() -> None:
    imports = engine_imports()
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for one in sorted(imports[module]):
                visit(one, (*path, module))
            done.add(module)

    for module in sorted(imports):
        visit(module, ())


@EACH_MODULE
def test_an_outside_library_is_imported_only_in_its_home(path: Path) -> None:
    outside = {
        module.split(".")[0]
        for module in imported(parse(path))
        # _typeshed exists for the type checker alone, compression from Python 3.14 on.
        if module.split(".")[0] not in (*sys.stdlib_module_names, *PACKAGES, "_typeshed", "compression")
    }
    assert outside <= set(HOMES), f"{outside - set(HOMES)} has no home; name it in HOMES, with pyproject.toml's reason"
    strangers = {library for library in outside if not name(path).startswith(HOMES[library])}
    assert not strangers


_NOT_IMPORTED = ("dev", "bench", "docs", "watch", "all")


def test_each_library_of_pyproject_has_a_home_and_each_home_a_library() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # What developers use, and what is a program and no library.
    extras = {name: of for name, of in project["optional-dependencies"].items() if name not in _NOT_IMPORTED}
    everything = [*project["dependencies"], *(library for of in extras.values() for library in of)]
    required = {re.split(r"[\[<>]", text)[0].strip() for text in everything}
    import_names = {library.replace("-", "_") for library in required}
    renamed = {
        "pyyaml": "yaml",
        "opentelemetry_sdk": "opentelemetry",
        "opentelemetry_exporter_otlp_proto_http": "opentelemetry",
        "backports.zstd": "backports",
    }
    import_names = {renamed.get(library, library) for library in import_names}
    # pydantic brings pydantic_core along.
    assert import_names == set(HOMES) - {"pydantic_core"}


# What a module may do at its top level besides defining: each is a value and changes nothing outside the module.
_DEFINING = (
    ast.Import,
    ast.ImportFrom,
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Assign,
    ast.AnnAssign,
    ast.TypeAlias if sys.version_info >= (3, 12) else ast.Assign,
)
# Calls that stand alone at the top level and only put together what the module defines.
_COMPOSING = {
    "penstock/__main__.py": {"main"},
}


@EACH_MODULE
def test_importing_a_module_only_defines(path: Path) -> None:
    def check(statements: list[ast.stmt]) -> None:
        for statement in statements:
            match statement:
                case ast.Expr(value=ast.Constant()):
                    pass
                case ast.Expr(value=ast.Call(func=function)):
                    assert ast.unparse(function) in _COMPOSING.get(name(path), set()), ast.unparse(statement)
                case ast.If():
                    # `if TYPE_CHECKING` and `if __name__ == "__main__"`.
                    if "__name__" not in ast.unparse(statement.test):
                        check(statement.body + statement.orelse)
                case ast.Try():
                    check(statement.body + [s for handler in statement.handlers for s in handler.body])
                case ast.For():
                    check(statement.body)
                case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Name(id="imported_with")))]):
                    check(statement.body)
                case _:
                    assert isinstance(statement, _DEFINING), ast.unparse(statement)

    check(parse(path).body)


def test_importing_everything_starts_no_thread_and_registers_nothing() -> None:
    modules = [name(path).removesuffix(".py").replace("/", ".") for path in sources(*PACKAGES)]
    modules = [m.removesuffix(".__init__") for m in modules if not m.endswith("__main__")]
    program = f"""
import atexit, importlib, logging, signal, threading
from prometheus_client import REGISTRY
collectors = len(list(REGISTRY.collect()))
handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
for module in {modules!r}:
    importlib.import_module(module)
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert len(list(REGISTRY.collect())) == collectors, "a metric was registered globally"
assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers, "a signal was taken"
assert logging.root.handlers == [], "logging was configured"
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


# No tests but programs that tests look at: that they rest for a known time is what is looked for.
RESTING = {ROOT / "tests" / "support" / "duty_process.py"}


@for_each((name(path), (path,)) for path in sources("tests") if path not in RESTING)
def test_a_test_never_sleeps(path: Path) -> None:
    sleeps = [
        node.lineno
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and node.attr == "sleep"
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    ]
    from_time = [
        node.lineno
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {a.name for a in node.names}
    ]
    assert not sleeps + from_time, f"{name(path)} sleeps on lines {sleeps + from_time}"


def test_help_loads_neither_the_engine_nor_what_it_needs() -> None:
    program = """
import sys
from penstock.cli.main import commands
commands.main(["--help"], standalone_mode=False)
ours = {m for m in sys.modules if m.split(".")[0] in ("engine", "exporter", "dashboards", "penstock")}
others = {m.split(".")[0] for m in sys.modules} - sys.stdlib_module_names - {"__main__"}
print(len(sys.modules), *sorted(ours), *sorted(o for o in others if not o.startswith("_")))
"""
    found = subprocess.run([sys.executable, "-I", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    count, *loaded = found.stdout.splitlines()[-1].split()
    # Of other people's, click alone; what begins so is how an editable installation is found.
    outside = {one for one in loaded if one.split(".")[0] not in PACKAGES and not one.startswith("__editable__")}
    assert outside == {"click"}
    assert len([one for one in loaded if one.split(".")[0] in PACKAGES]) <= 15, loaded
    assert int(count) <= 250


def test_a_run_loads_only_what_its_file_asks_for(tmp_path: Path) -> None:
    (tmp_path / "orders.txt").write_text("one\n")
    (tmp_path / "orders.yaml").write_text(
        "pipeline: {name: orders, sources: {orders: {lines: {path: orders.txt}}}, "
        "exporters: {out: {jsonl: {path: out.ndjson}}}}\nmanagement: {port: 0}\n"
    )
    program = """
import sys
from penstock.cli.main import commands
commands.main(["run", "orders.yaml"], standalone_mode=False)
print(len(sys.modules), *sorted(m for m in sys.modules))
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    count, *loaded = found.stdout.splitlines()[-1].split()
    # Terminals, workers, other targets, pushes and users: nobody asked for them.
    unasked = ("rich", "engine.workers", "httpx", "psycopg", "confluent_kafka", "opentelemetry", "httptools")

    assert not [one for one in loaded if one.startswith(unasked)]
    assert int(count) <= 1_000


@pytest.mark.parametrize("module", ["click", "engine", "pydantic", "yaml", "starlette", "rich"])
def test_penstock_itself_imports_nothing_until_it_is_asked(module: str) -> None:
    program = f"import penstock, sys; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_the_door_of_the_engine_opens_each_name_where_the_type_checker_sees_it() -> None:
    import engine

    (guarded,) = (node for node in parse(ROOT / "engine" / "__init__.py").body if isinstance(node, ast.If))
    seen = {a.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for a in node.names}
    assert seen == engine._MODULES
    assert set(seen) == set(engine.__all__)
    assert all(getattr(engine, name) is not None for name in seen)
