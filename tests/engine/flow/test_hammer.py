"""Real threads at one gate for two seconds; `python -m benchmarks hammer` does it for longer."""

from __future__ import annotations

import pytest

from benchmarks.hammer import hammer


@pytest.mark.parametrize("limit", [500, 2000])
def test_two_writers_of_each_waiting_source_get_the_whole_limit_none_starves_and_nobody_gets_in_between(
    limit: int,
) -> None:
    found = hammer(limit=limit, seconds=2)
    # Within 2 %, and one batch of each of the eight, which may fall on either side of the end.
    assert found.granted_share == pytest.approx(1, abs=0.02 + 20 / (2 * limit))
    # Nobody starves; on a busy machine a thread that runs gets a little more than one that is not let run.
    assert found.least_even_share > 0.75
    assert found.in_flight_after == 0
    assert found.tried > 100
    # While anybody waits; for a moment nobody may.
    assert found.tried_admitted <= 0.02 * found.tried
