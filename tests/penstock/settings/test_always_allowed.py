"""`pipeline.alwaysAllowed`: which commands no limit holds back."""

from __future__ import annotations

import pytest

from engine.core.errors import ConfigurationError
from tests.penstock.settings.conftest import PIPELINE, Load


def test_intents_are_named_for_all_value_types_or_for_one(load: Load) -> None:
    found = load(pipeline=PIPELINE + "  alwaysAllowed: [complete, job/fail, a/b/c]\n").pipeline.always_allowed
    assert found.intents == {(None, "complete"), ("job", "fail"), ("a", "b/c")}


def test_without_the_key_nothing_is_always_allowed(load: Load) -> None:
    assert load().pipeline.always_allowed.intents == frozenset()


def test_the_environment_lists_intents_with_commas(load: Load) -> None:
    found = load(environment={"PENSTOCK_PIPELINE_ALWAYSALLOWED": "complete, job/fail"}).pipeline.always_allowed
    assert found.intents == {(None, "complete"), ("job", "fail")}


@pytest.mark.parametrize("written", ["''", "/fail", "job/"])
def test_half_a_name_is_refused_with_its_place(load: Load, written: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(pipeline=PIPELINE + f"  alwaysAllowed: [{written}]\n")
    assert "alwaysAllowed must be a list of intents, like complete or job/complete" in str(refusal.value)
