"""What a task has been doing lately is read whole while it goes on."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.transitions import RING_LENGTH, Transitions


@given(st.integers(0, 4 * RING_LENGTH))
def test_the_last_ones_are_there_in_order_and_it_says_whether_older_ones_are_forgotten(count: int) -> None:
    transitions = Transitions([(n, "busy" if n % 2 else "idle") for n in range(count)])
    found, is_cut = transitions.read()
    assert [since_ns for since_ns, _ in found] == list(range(max(0, count - RING_LENGTH + 1), count))
    assert is_cut is (count >= RING_LENGTH)
    assert transitions.last == ((count - 1, "busy" if (count - 1) % 2 else "idle") if count else None)


def test_a_reader_beside_the_writer_finds_a_row_without_a_gap() -> None:
    transitions = Transitions()
    is_over = threading.Event()

    def write() -> None:
        for n in range(200_000):
            transitions.add(n, "busy")
        is_over.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    looks = 0
    while not is_over.is_set() or not looks:
        found = [since_ns for since_ns, _ in transitions.read()[0]]
        assert found == list(range(found[0], found[0] + len(found))) if found else True
        looks += 1
    writer.join(60)
    assert looks
