"""How late are flights out of New York? Delay statistics for each carrier and airport, as flights go by.

A flight enters the partition of its *origin*, where its departure is counted. A message then goes to the
partition of its *destination*, where its arrival is counted. Every ten seconds each partition writes a
summary, as long as there was something new to say.
"""

import json
from typing import Any

from penstock import ProcessingContext, Record, State

SUMMARY_EVERY_SECONDS = 10
LATE_MINUTES = 15  # from a quarter of an hour on, a flight is called late

Flight = dict[str, Any]
Statistics = dict[str, Any]


def parse(line: bytes) -> Flight:
    """A line of the file as a flight. A line that is no JSON fails here, and is kept in `data/rejects`."""
    flight: Flight = json.loads(line)
    flight["number"] = f"{flight['carrier']}{flight['flight']}"
    flight["date"] = f"{flight['year']}-{flight['month']:02}-{flight['day']:02}"
    return flight


class DelayStatistics:
    """Counts flights and their delays. One instance a partition; all it remembers is in `context.state`."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        match record.value_type:
            case "flight":
                self._count_departure(record.value, context)
            case "arrival":
                self._count_arrival(record.value, context)
            case "summarise":
                self._summarise(context)
            case other:
                context.reject(f"no idea what to do with {other!r}")

    def _count_departure(self, flight: Flight, context: ProcessingContext) -> None:
        delay = flight["dep_delay"]
        carrier = add(context.state, f"carrier/{flight['carrier']}", delay)
        airport = add(context.state, f"departures/{flight['origin']}", delay)
        context.emit(
            "departure",
            {
                "flight": flight["number"],
                "date": flight["date"],
                "origin": flight["origin"],
                "dest": flight["dest"],
                "delay": delay,
                "carrier_mean_delay": mean(carrier),
                "airport_mean_delay": mean(airport),
            },
            intent="cancelled" if delay is None else "departed",
            key=flight["origin"],
        )
        # A cancelled flight arrives nowhere, a diverted one elsewhere: neither has an arrival delay.
        if flight["arr_delay"] is not None:
            arrival = {name: flight[name] for name in ("number", "date", "dest", "arr_delay")}
            context.send(flight["dest"], "arrival", arrival)
        self._something_new(context)

    def _count_arrival(self, flight: Flight, context: ProcessingContext) -> None:
        add(context.state, f"arrivals/{flight['dest']}", flight["arr_delay"])
        context.emit(
            "arrival_counted",
            {
                "flight": flight["number"],
                "date": flight["date"],
                "dest": flight["dest"],
                "delay": flight["arr_delay"],
            },
            intent="arrived",
            key=flight["dest"],
        )
        self._something_new(context)

    def _something_new(self, context: ProcessingContext) -> None:
        """Sets the timer of the next summary, unless it runs already: an idle pipeline stays silent."""
        if not context.state.get("summary_is_due", False):
            context.state.put("summary_is_due", True)
            context.schedule(SUMMARY_EVERY_SECONDS, "summarise", None)

    def _summarise(self, context: ProcessingContext) -> None:
        context.state.put("summary_is_due", False)
        value = {
            group: {key.removeprefix(group + "/"): summary(s) for key, s in context.state.scan(group + "/")}
            for group in ("carrier", "departures", "arrivals")
        }
        context.emit("summary", value, intent="written")


def add(state: State, key: str, delay: int | None) -> Statistics:
    """Counts one flight under `key`; a delay of None is a cancelled one. Returns the new statistics."""
    statistics: Statistics = state.get(key) or dict.fromkeys(("flights", "cancelled", "late", "minutes"), 0)
    if delay is None:
        statistics["cancelled"] += 1
    else:
        statistics["flights"] += 1
        statistics["late"] += delay >= LATE_MINUTES
        statistics["minutes"] += delay
        statistics["worst"] = max(delay, statistics.get("worst", delay))
    state.put(key, statistics)
    return statistics


def mean(statistics: Statistics) -> float | None:
    """The mean delay in minutes; None before the first flight that took off."""
    return round(statistics["minutes"] / statistics["flights"], 1) if statistics["flights"] else None


def summary(statistics: Statistics) -> Statistics:
    """What a summary says of one carrier or airport."""
    shown = {name: statistics.get(name) for name in ("flights", "cancelled", "late", "worst")}
    return shown | {"mean_delay": mean(statistics)}
