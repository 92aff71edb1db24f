"""`docs/configuration.md` says what the code does."""

import re
from pathlib import Path

import pytest

from penstock.settings.sections import Section
from penstock.settings.spelling import all_paths, section_for, variable
from tests.penstock.settings.conftest import Load

PAGE = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
# key, variables, default
ROWS = [
    (match[1], re.findall(r"`(\w+)(?:_…)?`", match[2]), match[3].strip("`"))
    for match in re.finditer(r"^\| `([\w.-]+)` \| ([^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    if match[1].split(".")[0] not in ("zeebe", "camunda")
]


def is_section(path: tuple[str, ...]) -> bool:
    kind = section_for(path)
    return isinstance(kind, type) and issubclass(kind, Section)


def test_every_key_stands_on_the_page_and_no_other() -> None:
    keys = {".".join(path) for path in all_paths() if not is_section(path)}
    documented = [key for key, _, _ in ROWS]
    # A processor may be written short: the section itself has a row as well.
    assert sorted(documented) == sorted(keys | {"pipeline.processor"})


@pytest.mark.parametrize(("key", "variables"), [(key, names) for key, names, _ in ROWS if names])
def test_each_variable_on_the_page_is_the_one_that_is_read(key: str, variables: list[str]) -> None:
    assert variable(tuple(key.split("."))) in variables


@pytest.mark.parametrize(("key", "default"), [(key, default) for key, _, default in ROWS if default != "–"])
def test_each_default_on_the_page_is_the_default(load: Load, key: str, default: str) -> None:
    written = load(environment={variable(tuple(key.split("."))): default})
    plain = load()
    if key.startswith("flowControl.write"):
        # The section is not there until it is written; then it has its defaults.
        plain = load(environment={"PENSTOCK_FLOWCONTROL_WRITE_ENABLED": "false"})
    if key.startswith("gateway"):
        # Saying anything of it turns it on.
        plain = load(environment={"PENSTOCK_GATEWAY_ENABLED": "true"})
    for field in ("gateway", "data", "flow_control", "options", "back_pressure", "management", "logging"):
        assert getattr(written, field) == getattr(plain, field)
    assert (written.pipeline.partitions, written.pipeline.value_type) == (1, "record")


def test_the_file_at_the_top_of_the_page_is_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "flights.ndjson.gz").write_text("")
    (tmp_path / "flights.py").write_text(
        "def parse(line): ...\nclass DelayStatistics:\n    def process(self, record, context): ...\n"
    )
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    settings = load(pipeline=block[1])
    assert [task.name for task in settings.outline] == ["flights", "parse", "processor", "delays"]


@pytest.mark.parametrize("sample", re.findall(r"`(PENSTOCK_\w+)=?(\w*)`", PAGE))
def test_each_variable_in_the_text_is_understood(load: Load, sample: tuple[str, str]) -> None:
    name, _ = sample
    words = {variable(path) for path in all_paths()}
    assert name in words or name.startswith("PENSTOCK_PIPELINE_") or any(w.startswith(name) for w in words)
