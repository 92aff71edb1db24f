"""Whose fault a refusal is: the target's while nothing gets through, the record's when others do and it does not."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import RefusedRecordsError, TargetError
from engine.exporting.delivered import Delivered
from engine.exporting.halving import DislikedError, Halving
from engine.exporting.refusals import OnRefusal, Refusals
from tests.support.records import record, records

PAUSE_NS = 100 * NS_PER_MS


def refusals(attempts: int = 3, policy: OnRefusal = "reject") -> Refusals:
    return Refusals(attempts=attempts, policy=policy, pause_ns=PAUSE_NS, random=Random(1))


def refusing(*positions: int) -> RefusedRecordsError:
    return RefusedRecordsError(dict.fromkeys(positions, "no"))


def test_while_nothing_gets_through_no_record_is_to_blame() -> None:
    judge = refusals(attempts=1)
    for second in range(3600):
        judge.fresh(second * NS_PER_SECOND)
        verdict = judge.refused(records(1, 50), refusing(*range(1, 51)), second * NS_PER_SECOND)
        assert verdict.target_at_fault
        assert not verdict.to_blame
    judge.took(records(1, 50))
    assert len(judge) == 0


def test_a_record_is_to_blame_after_its_attempts_while_others_get_through() -> None:
    judge = refusals(attempts=3)
    blamed = []
    for attempt in range(3):
        assert not blamed
        due_ns = judge.next_due_ns() or 0
        assert due_ns >= attempt * NS_PER_SECOND, "spread over time"
        fresh = records(10 * (attempt + 1), 10 * (attempt + 1) + 5)
        verdict = judge.refused([record(7), *fresh], refusing(7), due_ns)
        assert not verdict.target_at_fault
        blamed = [(blame.position, why) for blame, why in verdict.to_blame]
    assert blamed == [(7, "no")]
    assert judge.first_position is None


def test_attempts_are_not_counted_while_nothing_gets_through() -> None:
    judge = refusals(attempts=2)
    judge.refused(records(1, 9), refusing(7), 0)
    for second in range(1, 9):
        judge.fresh(second * NS_PER_SECOND)
        assert judge.refused([record(7), record(10)], refusing(7, 10), second * NS_PER_SECOND).target_at_fault
    assert judge.first_position == 7
    judge.took([record(7), record(10)])
    assert len(judge) == 0


def test_what_is_left_alone_behind_others_is_judged_when_nothing_new_comes() -> None:
    judge = refusals()
    judge.fresh(0)
    judge.refused(records(1, 20), refusing(19, 20), 0)
    assert not judge.refused([record(19), record(20)], refusing(19, 20), 9 * NS_PER_SECOND).to_blame
    verdict = judge.refused([record(19), record(20)], refusing(19, 20), 10 * NS_PER_SECOND)
    assert [blame.position for blame, _ in verdict.to_blame] == [19, 20]


def test_of_records_that_each_came_alone_one_at_most_is_judged_before_something_gets_through() -> None:
    judge = refusals()
    judge.took(records(1, 5))
    judge.fresh(0)
    assert not judge.refused([record(6)], refusing(6), 0).to_blame
    assert judge.refused([record(6)], refusing(6), 30 * NS_PER_SECOND).to_blame
    judge.fresh(31 * NS_PER_SECOND)
    assert judge.refused([record(7)], refusing(7), 31 * NS_PER_SECOND).target_at_fault
    assert judge.refused([record(7)], refusing(7), 3600 * NS_PER_SECOND).target_at_fault


def test_what_was_never_beside_others_at_a_target_that_took_nothing_is_never_judged() -> None:
    judge = refusals()
    for second in range(0, 3600, 10):
        assert judge.refused([record(1)], refusing(1), second * NS_PER_SECOND).target_at_fault


def test_what_no_target_has_to_be_asked_about_is_to_blame_at_once() -> None:
    error = RefusedRecordsError({2: "JSON cannot say it"}, certain=[2])
    for call in ([record(2)], records(1, 3)):
        verdict = refusals().refused(call, error, 0)
        assert [blame.position for blame, _ in verdict.to_blame] == [2]
        assert not verdict.target_at_fault


@pytest.mark.parametrize("certain", [(), (2,)])
def test_who_asks_for_retries_gives_up_no_record(certain: tuple[int, ...]) -> None:
    judge = refusals(policy="retry")
    for second in range(100):
        error = RefusedRecordsError({2: "no"}, certain=certain)
        verdict = judge.refused(records(1, 3), error, second * NS_PER_SECOND)
        assert verdict.target_at_fault
        assert not verdict.to_blame


# -- halving ---


def halved(bad: set[int], count: int, seed: int) -> tuple[list[int], dict[int, str], int]:
    """What was taken and what refused, and how many calls it took."""
    delivered, taken, calls = Delivered(), list[int](), 0

    def send(items: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if bad & set(items):
            raise DislikedError("no")
        taken.extend(items)
        delivered.took([record(position) for position in items])

    delivered.begin(records(1, count))
    Halving(delivered, Random(seed)).send([*range(1, count + 1)], send, lambda position: position)
    try:
        delivered.end()
    except RefusedRecordsError as error:
        return taken, error.reasons, calls
    return taken, {}, calls


@given(count=st.integers(1, 40), bad=st.sets(st.integers(1, 40)), seed=st.integers())
def test_halving_takes_all_but_the_bad_ones_or_says_that_nothing_gets_through(
    count: int, bad: set[int], seed: int
) -> None:
    bad = {position for position in bad if position <= count}
    try:
        taken, refused, _ = halved(bad, count, seed)
    except TargetError:
        assert len(bad) >= 5, "a few bad ones are found"
        return
    assert sorted(taken) == [position for position in range(1, count + 1) if position not in bad]
    assert set(refused) == bad


def test_a_target_that_takes_nothing_is_not_asked_for_each_record() -> None:
    count = 1000
    calls = 0

    def send(items: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        raise DislikedError("400")

    delivered = Delivered()
    delivered.begin(records(1, count))
    with pytest.raises(TargetError, match="nothing gets through: 400"):
        Halving(delivered).send([*range(1, count + 1)], send, lambda position: position)
    assert calls < 30


def test_bad_records_in_front_do_not_hide_the_good_ones_for_ever() -> None:
    found = 0
    for seed in range(50):
        try:
            taken, refused, _ = halved(set(range(1, 100)), 200, seed)
        except TargetError:
            continue
        assert taken
        assert len(refused) == 99
        found += 1
    assert found > 10
