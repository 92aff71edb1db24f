"""Code that does not fit where it is named is said before anything runs, in one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError
from tests.penstock.settings.conftest import Load

CODE = """\
def one(value): return value
def two(value, other): return value
def none(): return 1
def some(*values): return values
class Fits:
    def process(self, record, context): ...
class Empty: ...
class Short:
    def process(self, record): ...
class Greedy:
    def __init__(self, what): ...
    def process(self, record, context): ...
class Exporter:
    def open(self, context): ...
    def export(self, records): ...
class Static:
    @staticmethod
    def process(record, context): ...
def made(): return Fits()
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fitting_code.py").write_text(CODE)
    monkeypatch.delitem(__import__("sys").modules, "fitting_code", raising=False)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("transforms: [{s: {map: 'fitting_code:two'}}]", "is called with a value alone, and does not fit: missing"),
        (
            "transforms: [{s: {filter: 'fitting_code:none'}}]",
            "is called with a value alone, and does not fit: too many",
        ),
        ("key: 'fitting_code:two'", "pipeline.key: is called with a value alone"),
        ("processor: 'fitting_code:Empty'", r"class Empty has no method process\(record, context\)"),
        ("processor: 'fitting_code:Short'", "process is called with record and context, and does not fit: too many"),
        ("processor: 'fitting_code:Greedy'", "options do not fit the class: missing a required argument: 'what'"),
        ("exporters: {e: {class: 'fitting_code:Exporter'}}", r"class Exporter has no method close\(\)"),
    ],
)
def test_it_is_refused(load: Load, written: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        load(f"  {written}\n")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        "transforms: [{s: {map: 'fitting_code:one'}}, {t: {flatMap: 'fitting_code:some'}}, {u: {map: 'builtins:str'}}]",
        "processor: 'fitting_code:Fits'",
        "processor: 'fitting_code:Static'",
        "processor: 'fitting_code:made'",
    ],
)
def test_what_fits_is_taken(load: Load, written: str) -> None:
    load(f"  {written}\n")
