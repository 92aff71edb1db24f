"""What is said where the packages of an extra are not installed."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError
from engine.core.extras import MissingExtraError, imported_with, need


def test_what_is_installed_is_not_complained_of_nor_imported() -> None:
    need("tools", "email.mime.audio", "json")


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part", "json.no_such_part"])
def test_what_is_not_found_is_named_with_its_package_and_the_command(module: str) -> None:
    package = module.partition(".")[0].replace("_", "-")
    with pytest.raises(MissingExtraError) as caught:
        need("tools", module)
    assert str(caught.value) == f"this needs {package}, which is not installed: pip install 'penstock[tools]'"


def test_it_is_an_error_of_the_configuration_and_of_an_import_and_crosses_processes() -> None:
    error = MissingExtraError("this needs it")
    assert isinstance(error, ConfigurationError)
    assert isinstance(error, ImportError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (MissingExtraError, "this needs it")


def test_a_library_that_misses_a_part_of_its_own_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_a_library.py").write_text("raise ImportError('no libpq')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="this needs half-a-library"), imported_with("tools", "half_a_library"):
        importlib.import_module("half_a_library")


def test_an_import_that_fails_for_another_reason_is_not_blamed_on_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole_library.py").write_text("import no_such_thing_of_its_own\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught, imported_with("tools", "whole_library"):
        importlib.import_module("whole_library")
    assert not isinstance(caught.value, MissingExtraError)
