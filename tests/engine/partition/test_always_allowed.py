"""Which commands may always pass, alone and in batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.records import Record, RecordType
from engine.partition.always_allowed import AlwaysAllowed

FINISHING = AlwaysAllowed().with_intent("complete", None).with_intent("fail", "job")


def command(value_type: str, intent: str) -> Record:
    return Record(RecordType.COMMAND, value_type, intent, "", None)


def test_an_intent_is_meant_for_all_value_types_or_for_the_one_named() -> None:
    assert FINISHING.covers(command("anything", "complete"))
    assert FINISHING.covers(command("job", "fail"))
    assert not FINISHING.covers(command("order", "fail"))
    assert not FINISHING.covers(command("job", "create"))


def test_one_command_that_may_not_holds_its_whole_batch() -> None:
    assert FINISHING.covers_all([command("job", "fail"), command("x", "complete")])
    assert not FINISHING.covers_all([command("job", "fail"), command("x", "create")])


def test_no_records_are_no_finishing_work() -> None:
    assert not FINISHING.covers_all([])


@given(st.lists(st.builds(command, st.text(), st.text())))
def test_without_intents_nothing_is_always_allowed(records: list[Record]) -> None:
    assert not AlwaysAllowed().covers_all(records)
