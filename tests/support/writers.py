"""Clients of a gateway that write without a break, and keep what they were told."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.gateway import LINES
from tests.support.waiting import WAIT_SECONDS, wait_until

_KEYS = 13


class Writers:
    """Each request holds a few records for all partitions; every record has a number of its own in `n`."""

    def __init__(self, url: str, *, records: int) -> None:
        self._url = url
        self._records = records
        self._numbers = itertools.count(1)
        self._ended = threading.Event()
        # Guarded by the lock: where each number is that was acknowledged, and how requests were answered.
        self._lock = threading.Lock()
        self._places: dict[int, tuple[int, int]] = {}
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    @property
    def acknowledged(self) -> dict[int, tuple[int, int]]:
        with self._lock:
            return dict(self._places)

    def write(self) -> None:
        """Until the end, one request after another; one that nobody answered is as good as refused."""
        with httpx.Client(timeout=60) as client:
            while not self._ended.is_set():
                with self._lock:
                    numbers = [next(self._numbers) for _ in range(self._records)]
                body = "".join(json.dumps({"k": f"key {n % _KEYS}", "n": n}) + "\n" for n in numbers)
                try:
                    answer = client.post(f"{self._url}/v1/records", content=body, headers=LINES)
                except httpx.TransportError:
                    self._ended.wait(0.01)
                    continue
                self._take(numbers, answer)
                if answer.status_code != 200:
                    self._ended.wait(0.01)

    def _take(self, numbers: list[int], answer: httpx.Response) -> None:
        said = answer.json()
        with self._lock:
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                places = dict(zip(numbers, said["positions"], strict=True))
            else:
                places = {numbers[each["record"] - 1]: each for each in said.get("written", ())}
                if int(answer.headers.get("retry-after", 0)) < 1 or said["status"] != answer.status_code:
                    self.wrong.append(answer.text)
            self._places.update((n, (place["partition"], place["position"])) for n, place in places.items())

    def end(self) -> None:
        self._ended.set()

    def have_more_acknowledged(self, partitions: int) -> bool:
        """Waits until each of the partitions 1 … has taken something that was not acknowledged before."""
        before = self.acknowledged
        return wait_until(
            lambda: {p for n, (p, _) in self.acknowledged.items() if n not in before} == set(range(1, partitions + 1)),
            3 * WAIT_SECONDS,
        )


@contextmanager
def writing(url: str, *, clients: int = 3, records: int = 8) -> Iterator[Writers]:
    writers = Writers(url, records=records)
    threads = [threading.Thread(target=writers.write, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.end()
        for thread in threads:
            thread.join(3 * WAIT_SECONDS)
            assert not thread.is_alive()


def exported(folder: Path, partitions: int) -> dict[tuple[int, int], int]:
    """The number at each place in the files `out-1.ndjson` …; no place occurs twice."""
    found: dict[tuple[int, int], int] = {}
    for partition in range(1, partitions + 1):
        for line in (folder / f"out-{partition}.ndjson").read_text().splitlines():
            said = json.loads(line)
            if said["valueType"] != "penstock":
                place = (said["partition"], said["position"])
                assert place not in found
                found[place] = said["value"]["n"]
    return found
