"""The `pipeline` section: what it builds, and what it refuses."""

import sys
from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError
from engine.core.records import Record, RecordType
from engine.exporting.jsonl import JsonLines
from engine.pipeline import StepKind
from tests.penstock.settings.conftest import PIPELINE, Load

USER_CODE = """\
class Counter:
    def process(self, record, context): ...

def parse(line): return line
def wanted(value): return True
def split(value): return [value]
def route(value): return "somewhere"

LIMIT = 5
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """User code beside the file of settings."""
    path = tmp_path / "usercode.py"
    path.write_text(USER_CODE)
    return path


def test_a_whole_pipeline_is_built_from_left_to_right(load: Load, code: Path) -> None:
    settings = load(
        """\
  partitions: 2
  transforms:
    - parse: {map: "usercode:parse", parallelism: 3, onError: stop}
    - wanted: {filter: "usercode:wanted"}
    - split: {flatMap: "usercode:split"}
  key: origin
  valueType: flight
  processor: {class: "usercode:Counter", name: counter, onError: stop, attempts: 5}
  exporters:
    file:
      jsonl: {path: out.ndjson}
      valueTypes: [departure]
      recordTypes: [EVENT]
      start: end
      maxRecordsPerSecond: 2.5
"""
    )
    pipeline = settings.pipeline
    assert (pipeline.name, pipeline.partitions, pipeline.value_type) == ("small", 2, "flight")
    assert [source.name for source in pipeline.sources] == ["input"]
    assert [(s.name, s.kind, s.parallelism, s.on_error) for s in pipeline.steps] == [
        ("parse", StepKind.MAP, 3, "stop"),
        ("wanted", StepKind.FILTER, 1, "reject"),
        ("split", StepKind.FLAT_MAP, 1, "reject"),
    ]
    assert pipeline.key is not None
    assert pipeline.key({"origin": "JFK"}) == "JFK"
    processor = pipeline.processor
    assert processor is not None
    assert (processor.name, processor.on_error, processor.attempts) == ("counter", "stop", 5)
    assert type(processor.factory()).__name__ == "Counter"
    (exporter,) = pipeline.exporters
    assert (exporter.name, exporter.start, exporter.max_records_per_second) == ("file", "end", 2.5)
    assert exporter.filter.value_types == {"departure"}
    assert exporter.filter.record_types == {RecordType.EVENT}
    assert isinstance(exporter.factory(), JsonLines)
    assert [(task.kind, task.name) for task in settings.outline] == [
        ("source", "input"), ("transform", "parse"), ("transform", "wanted"), ("transform", "split"),
        ("processor", "counter"), ("exporter", "file"),
    ]  # fmt: skip


def test_a_key_with_a_colon_is_a_function(load: Load, code: Path) -> None:
    key = load('  key: "usercode:route"\n').pipeline.key
    assert key is not None
    assert key({}) == "somewhere"


def test_an_exporter_without_a_filter_wants_everything(load: Load) -> None:
    (exporter,) = load("  exporters: {file: {jsonl: {path: x}}}\n").pipeline.exporters
    assert exporter.filter.wants(Record("command", "any", "x", "", None))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  partitions: 0\n", "4: pipeline.partitions must be at least 1, not 0"),
        ("  partitions: 1025\n", "4: pipeline.partitions must be at most 1024, not 1025"),
        ("  partition: 2\n", "4: pipeline.partition is no known key; did you mean pipeline.partitions?"),
        ("partitions: 2\n", "4: partitions is no known key; did you mean pipeline.partitions?"),
        ("  transforms: {a: {map: usercode:parse}}\n", "4: pipeline.transforms must be a list, not a section"),
        ("  transforms: [{a: {map: usercode:parse}, b: {}}]\n", "exactly one of map, filter, flatMap and mapBatch"),
        ("  transforms: [{a: {}}]\n", "4: pipeline.transforms[0].a must have exactly one of map"),
        ("  transforms: [{a: {map: usercode:parse, parallelism: 0}}]\n", "parallelism must be at least 1, not 0"),
        ("  transforms: [{a: {map: usercode:parse, onError: ignore}}]\n", "onError must be one of reject, stop, not"),
        ("  transforms: [{input: {map: usercode:parse}}]\n", "task name 'input' is taken"),
        ("  transforms: [{-a: {map: usercode:parse}}]\n", "task name '-a' must be 1 to 64 letters"),
        ("  transforms: [{a: {map: usercode}}]\n", "[0].a.map must be written as module:name, not usercode"),
        ("  transforms: [{a: {map: usercode:parsed}}]\n", "does not have; did you mean parse?"),
        ("  transforms: [{a: {map: usercode:LIMIT}}]\n", "must name a function or class"),
        ("  processor: nothing_here:X\n", "pipeline.processor names a module 'nothing_here' that is neither in"),
        ("  processor: {class: usercode:Counter, attempts: 0}\n", "pipeline.processor.attempts must be at least 1"),
        ("  processor: [a]\n", "4: pipeline.processor must be a section of keys, not a list"),
        ("  exporters: {file: {}}\n", "4: pipeline.exporters.file must have exactly one of jsonl, postgres, elast"),
        ("  exporters: {file: {jsonl: {path: ''}}}\n", "pipeline.exporters.file.jsonl.path must not be empty"),
        ("  exporters: {file: {jsonl: {path: x}, maxRecordsPerSecond: 0}}\n", "must be greater than 0, not 0"),
        ("  exporters: {file: {jsonl: {path: x}, start: middle}}\n", "must be one of beginning, end, not middle"),
        ("  exporters: {file: {jsonl: {path: x}, recordTypes: [note]}}\n", "recordTypes[0] must be one of command,"),
        ("  exporters: {a: {jsonl: {path: x}}, b: {jsonl: {path: ./x}}}\n", "is the file of exporter 'a' already"),
        ("  key: 5\n", "4: pipeline.key must be text (in quotes), not 5"),
        ("  valueType: ''\n", "4: pipeline.valueType must not be empty"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_pipeline_is_one_line_with_its_place(load: Load, code: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    assert said in str(caught.value)
    assert "settings.yaml:4: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("data: x\n", "settings.yaml:1: pipeline is missing"),
        ("pipelin: {}\n", "settings.yaml:1: pipelin is no known key; did you mean pipeline? (and 1 more)"),
        ("pipeline:\n  name: x\n", "settings.yaml:1: pipeline.sources is missing"),
        ("pipeline:\n  name: x\n  sources: {}\n", "settings.yaml:3: pipeline.sources is missing, and there is no gate"),
        ("pipeline:\n  sources: {a: {lines: {path: input.txt}}}\n", "settings.yaml:1: pipeline.name is missing"),
        ("pipeline: {name: -, sources: {a: {lines: {path: input.txt}}}}\n", "pipeline.name: pipeline name '-' must be"),
        ("pipeline: {name: x, sources: {a: {lines: {path: gone.txt}}}}\n", "gone.txt: no such file"),
        ("pipeline: {name: x, sources: {a: {line: {path: input.txt}}}}\n", "did you mean pipeline.sources.a.lines?"),
        ("pipeline: {name: x, sources: {a: {lines: {path: input.txt, maxLineBytes: 0}}}}\n", "must be at least 1"),
        ("pipeline: {name: x, sources: {a: {}}}\n", "sources.a must have exactly one of lines, generator and kafka"),
        ("pipeline: {name: x, sources: {a: {lines: {path: x}, generator: {}}}}\n", "must have exactly one of lin"),
        ("pipeline: {name: x, sources: {a: {lines: {path: input.txt, format: xml}}}}\n", "must be one of lines, csv"),
        ("pipeline: {name: x, sources: {a: {lines: {path: '-', follow: true}}}}\n", "only a file can be followed"),
        ("pipeline: {name: x, sources: {a: {lines: {path: '-'}}, b: {lines: {path: '-'}}}}\n", "another source"),
        ("pipeline: {name: x, sources: {a: {lines: {path: x, format: csv, delimiter: ab}}}}\n", "delimiter must be"),
        ("pipeline: {name: x, sources: {a: {generator: {shape: round}}}}\n", "must be one of steady, burst, ra"),
        ("pipeline: {name: x, sources: {a: {generator: {shape: sine}}}}\n", "generator: peak must be given for a sine"),
        ("pipeline: {name: x, sources: {a: {generator: {rate: 0}}}}\n", "generator: rate must be greater than 0"),
    ],
)  # fmt: skip
def test_what_a_pipeline_cannot_do_without_is_said(load: Load, pipeline: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(pipeline=pipeline)
    assert said in str(caught.value)


def test_names_of_tasks_keep_their_dots_and_capitals(load: Load) -> None:
    settings = load(pipeline="pipeline: {name: x, sources: {My.Input: {lines: {path: input.txt}}}}\n")
    assert settings.pipeline.sources[0].name == "My.Input"


def test_paths_of_the_file_are_relative_to_its_folder(load: Load, tmp_path: Path) -> None:
    settings = load("  exporters: {file: {jsonl: {path: out/x}}}\ndata: store\n")
    assert settings.data == tmp_path / "store"
    assert settings.outline[-1].what == f"jsonl to {tmp_path / 'out/x'}"
    assert settings.pipeline.sources[0].source.describe() == str(tmp_path / "input.txt")


def test_paths_of_the_environment_are_relative_to_the_working_folder(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    assert load(environment={"PENSTOCK_DATA": "store"}).data == tmp_path.parent / "store"


def test_a_variable_reaches_a_source_or_exporter_by_its_name_in_capitals(load: Load, tmp_path: Path) -> None:
    settings = load(
        "  exporters: {my_file: {jsonl: {path: x}}, other: {jsonl: {path: z}}}\n",
        environment={
            "PENSTOCK_PIPELINE_EXPORTERS_MYFILE_JSONL_PATH": "/elsewhere/y",
            "PENSTOCK_PIPELINE_EXPORTERS_MYFILE_VALUETYPES": "departure, arrival",
        },
    )
    assert [e.name for e in settings.pipeline.exporters] == ["my_file", "other"]
    assert settings.pipeline.exporters[0].filter.value_types == {"departure", "arrival"}
    assert "/elsewhere/y" in settings.outline[1].what


def test_a_variable_sets_one_key_of_a_processor_written_short(load: Load, code: Path) -> None:
    settings = load("  processor: usercode:Counter\n", environment={"PENSTOCK_PIPELINE_PROCESSOR_ATTEMPTS": "7"})
    assert settings.pipeline.processor is not None
    assert settings.pipeline.processor.attempts == 7


def test_the_folder_is_put_at_the_end_of_the_import_path(load: Load, code: Path, tmp_path: Path) -> None:
    before = sys.path[:]
    load("  processor: usercode:Counter\n")
    assert sys.path == [*before, str(tmp_path)]


@pytest.mark.parametrize("name", ["json", "engine", "click"])
def test_user_code_named_like_another_module_is_an_error_that_names_both_files(
    load: Load, tmp_path: Path, name: str
) -> None:
    (tmp_path / f"{name}.py").write_text(USER_CODE)
    with pytest.raises(ConfigurationError) as caught:
        load(f"  processor: {name}:Counter\n")
    assert f"names a module {name!r} of which there are two: {tmp_path / name}.py and " in str(caught.value)
    assert str(caught.value).endswith("; rename yours")


def test_user_code_in_a_package_is_found(load: Load, tmp_path: Path) -> None:
    (tmp_path / "userpackage").mkdir()
    (tmp_path / "userpackage" / "__init__.py").write_text("")
    (tmp_path / "userpackage" / "inner.py").write_text(USER_CODE)
    assert load("  processor: userpackage.inner:Counter\n").pipeline.processor is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def broken(:\n", "cannot import 'usercode': SyntaxError: "),
        ("1 / 0\n", "cannot import 'usercode': ZeroDivisionError: division by zero ("),
        ("import not_there_at_all\n", "cannot import 'usercode': ModuleNotFoundError: No module named 'not_there_at"),
    ],
)
def test_user_code_that_cannot_be_imported_is_one_line_with_the_reason(
    load: Load, code: Path, content: str, said: str
) -> None:
    code.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load("  processor: usercode:Counter\n")
    assert "settings.yaml:4: pipeline.processor" in str(caught.value)
    assert said in str(caught.value)
    assert f"{code}:1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_smallest_file_is_enough(load: Load, tmp_path: Path) -> None:
    settings = load()
    assert PIPELINE.count("\n") == 3
    assert settings.data == tmp_path / "data"
    assert settings.pipeline.exporters == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("lines: {path: rows.csv, format: csv, delimiter: ';'}", "lines of FOLDER/rows.csv, rows of CSV"),
        ("lines: {path: app.log, follow: true}", "lines of FOLDER/app.log, followed"),
        ("lines: {path: '-'}", "lines of standard input"),
        ("generator: {rate: 50}", "steady 50 made-up records per second, without end"),
        (
            "generator: {shape: BURST, rate: 10, peak: 99.5, period: 1m, burst: 500ms, seed: 7, keys: 3, count: 1000}",
            "burst 10 to 99.5 made-up records per second, 1000 in all",
        ),
    ],
)
def test_each_kind_of_source_is_made_as_it_is_written(load: Load, tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "rows.csv").write_text("a;b\n1;2\n")
    settings = load(pipeline=f"pipeline:\n  name: x\n  sources: {{a: {{{source}}}}}\n")
    assert settings.outline[0].what == said.replace("FOLDER", str(tmp_path))
