"""What a record wrote is taken back alone: the unit keeps what the others wrote, and all numbers stay dense."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clock import ManualClock
from engine.core.identity import partition_of
from engine.core.records import Record
from engine.processing.context import UnitContext
from engine.processing.state import StateOverlay

ELSEWHERE = next(key for key in map(str, range(100)) if partition_of(key, 2) == 2)
# What the processor does with a record, and whether it fails in the end.
RECORDS = st.lists(
    st.tuples(st.lists(st.sampled_from(["emit", "send", "schedule", "put"]), max_size=4), st.booleans()), max_size=6
)


@settings(deadline=None)
@given(records=RECORDS)
def test_undoing_a_record_leaves_what_the_others_wrote(records: list[tuple[list[str], bool]]) -> None:
    state = StateOverlay(lambda _: None, lambda _: iter(()))
    context = UnitContext(1, 2, ManualClock(), state, next_timer_id=7, next_sequence=3)
    kept: dict[str, list[int]] = {"emit": [], "send": [], "schedule": []}
    put = None
    for position, (actions, fails) in enumerate(records, start=1):
        context.begin(Record("command", "t", "i", "k", None, -1, position))
        for action in actions:
            match action:
                case "emit":
                    context.emit("t", position)
                case "send":
                    context.send(ELSEWHERE, "t", position)
                case "schedule":
                    context.schedule(1, "t", position)
                case "put":
                    context.state.put("last", position)
        if fails:
            context.undo_record()
        else:
            for action in actions:
                if action in kept:
                    kept[action].append(position)
            put = position if "put" in actions else put
    assert context.state.get("last") == put
    unit = context.take_unit(len(records))
    assert [record.source_position for record in unit.records] == kept["emit"]
    assert [timer.timer_id for timer in unit.timers_added] == list(range(7, 7 + len(kept["schedule"])))
    assert [message.sequence for message in unit.outbox] == list(range(3, 3 + len(kept["send"])))
    assert context.counters == (7 + len(kept["schedule"]), 3 + len(kept["send"]))


def test_undoing_a_record_that_was_discarded_before_counts_from_where_it_began_again() -> None:
    state = StateOverlay(lambda _: None, lambda _: iter(()))
    context = UnitContext(1, 2, ManualClock(), state, next_timer_id=7, next_sequence=3)
    before, record = context.counters, Record("command", "t", "i", "k", None, -1, 1)
    context.begin(Record("command", "t", "i", "k", None, -1, 0))
    context.schedule(1, "t", None)
    context.begin(record)
    context.schedule(1, "t", None)
    context.discard(*before)
    context.begin(record)
    context.schedule(1, "t", None)
    context.send(ELSEWHERE, "t", None)
    assert context.counters == (8, 4)
    context.undo_record()
    assert context.counters == before
    unit = context.take_unit(1)
    assert (unit.timers_added, unit.outbox) == ([], [])
