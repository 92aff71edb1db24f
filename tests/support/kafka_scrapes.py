"""Scrapes all instances of a shared pipeline each second, as Prometheus would, and says what does not add up."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tests.support.kafka_instances import Instance, told_of

_EACH_SECONDS = 1.0
# What writers have in hand at most: some seconds of all that comes in.
_AHEAD_MAX = 3000


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of one instance. It was made between `begun` and `ended`, in seconds of the same clock."""

    instance: str
    # Of those of the same second Prometheus makes one picture.
    second: int
    begun: float
    ended: float
    series: Mapping[str, float]

    def of(self, metric: str, partition: int) -> list[float]:
        """All series of a metric that are the partition's."""
        label = f'partition="{partition}"'
        return [value for name, value in self.series.items() if name.startswith(f"{metric}{{") and label in name]

    def accepted(self, partition: int) -> float:
        label = f'partition="{partition}"'
        return sum(
            value
            for name, value in self.series.items()
            if name.startswith("penstock_writes_total{") and label in name and 'outcome="accepted"' in name
        )


def _scrape(one: Instance, second: int) -> Scrape | None:
    begun = time.monotonic()
    series = one.metrics()
    return Scrape(one.name, second, begun, time.monotonic(), series) if series else None


@dataclass(frozen=True, slots=True)
class Life:
    """A partition at one instance, from its opening on: what was seen of it, in the order in which it was."""

    partition: int
    opened: float
    instance: str
    scrapes: Sequence[Scrape]

    @property
    def counted(self) -> list[tuple[float, float]]:
        """What was accepted so far, and the last position, at each scrape."""
        return [
            (scrape.accepted(self.partition), position)
            for scrape in self.scrapes
            for position in scrape.of("penstock_last_written_position", self.partition)
        ]

    def start(self, seen_before: float) -> float:
        """The last position before it, as far as it can be told.

        What is accepted is counted first and written then: a short life on a busy machine may never be seen at rest.
        """
        return max(seen_before, *(position - accepted for accepted, position in self.counted))

    def ahead(self, start: float) -> list[float]:
        """At each scrape, how many were accepted and not written yet."""
        return [accepted - (position - start) for accepted, position in self.counted]


class Scraping:
    """Looks at all instances once a second, until it is stopped; who is dead or stopped does not answer."""

    def __init__(self, instances: Callable[[], Sequence[Instance]]) -> None:
        self._instances = instances
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._scrapes: list[Scrape] = []
        self.seconds = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        under_way: dict[str, Future[Scrape | None]] = {}
        with ThreadPoolExecutor(8) as pool:
            while not self._stopping.is_set():
                begun = time.monotonic()
                for one in self._instances():
                    # Who has not answered yet is not asked again.
                    if one.name not in under_way or self._took(under_way[one.name]):
                        under_way[one.name] = pool.submit(_scrape, one, self.seconds)
                self.seconds += 1
                self._stopping.wait(max(0.0, _EACH_SECONDS - (time.monotonic() - begun)))
        for future in under_way.values():
            self._took(future)

    def _took(self, future: Future[Scrape | None]) -> bool:
        if not future.done():
            return False
        if (scrape := future.result()) is not None:
            self._scrapes.append(scrape)
        return True

    # -- what was seen ---

    def lives(self, partition: int) -> list[Life]:
        """By their openings."""
        seen: dict[tuple[float, str], list[Scrape]] = defaultdict(list)
        for scrape in self._scrapes:
            for opened in scrape.of("penstock_partition_opened_timestamp_seconds", partition):
                seen[opened, scrape.instance].append(scrape)
        return [
            Life(partition, opened, instance, sorted(scrapes, key=lambda scrape: scrape.begun))
            for (opened, instance), scrapes in sorted(seen.items())
        ]

    def told_twice(self, partition: int) -> list[str]:
        """Where somebody who looked later than at its new owner still saw it at the one before."""
        lives = self.lives(partition)
        wrong = []
        for number, later in enumerate(lives[1:], 1):
            known = min(scrape.ended for scrape in later.scrapes)
            for life in lives[:number]:
                late = [scrape.begun - known for scrape in life.scrapes if scrape.begun > known]
                wrong += [f"{partition} at {life.instance} {by:.2f} s after it was at {later.instance}" for by in late]
        return wrong

    def seconds_with_two(self, partitions: int) -> int:
        """In how many some partition was seen at two of them: before it had left, and after it had come."""
        told: dict[int, list[int]] = defaultdict(list)
        for scrape in self._scrapes:
            told[scrape.second] += told_of(scrape.series)
        return sum(any(seen.count(n) > 1 for n in range(1, partitions + 1)) for seen in told.values())

    def miscounted(self, partition: int) -> list[str]:
        """Where counters do not add up to positions: within a life, and from one to the next."""
        wrong = []
        last = 0.0
        for life in self.lives(partition):
            where = f"partition {partition} at {life.instance}"
            accepted, positions = ([*column] for column in zip(*life.counted, strict=True))
            if positions != sorted(positions) or accepted != sorted(accepted):
                wrong.append(f"{where}: what only grows falls")
            if positions[0] < last:
                wrong.append(f"{where} begins at {positions[0]:.0f}, and {last:.0f} was seen before")
            if (most := max(life.ahead(life.start(last)))) > _AHEAD_MAX:
                wrong.append(f"{where}: {most:.0f} were accepted and not written")
            last = positions[-1]
        return wrong

    def left_in_hand(self, partition: int) -> float:
        """What its last owner had accepted and not written when it was looked at last."""
        *before, life = self.lives(partition)
        last = before[-1].counted[-1][1] if before else 0.0
        return life.ahead(life.start(last))[-1]

    def counted(self, partition: int) -> tuple[float, float, float]:
        """What all lives counted together; what of it was accepted and not written yet when it was seen last; and what
        was written while nobody looked, between one life and the next."""
        counted = ahead = unseen = last = 0.0
        for life in self.lives(partition):
            accepted, position = life.counted[-1]
            start = life.start(last)
            counted, ahead, unseen = counted + accepted, ahead + life.ahead(start)[-1], unseen + start - last
            last = position
        return counted, ahead, unseen
