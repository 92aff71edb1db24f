"""How late are flights out of New York? Delay statistics for each carrier and airport, as flights go by.

A flight enters the partition of its *origin*, where its departure is counted. A message then goes to the
partition of its *destination*, where its arrival is counted. Every ten seconds each partition writes a
summary, as long as there was something new to say.
"""

import json
from typing import Any

from penstock import BatchContext, Commands, ProcessingContext, Record, State

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


def parse_all(lines: list[bytes]) -> list[Flight]:
    """The same for many lines at once, for `mapBatch`; where one of them fails, each is parsed alone."""
    return [parse(line) for line in lines]


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
            departure(flight, carrier, airport),
            intent="cancelled" if delay is None else "departed",
            key=flight["origin"],
        )
        # A cancelled flight arrives nowhere, a diverted one elsewhere: neither has an arrival delay.
        if flight["arr_delay"] is not None:
            context.send(flight["dest"], "arrival", arrival(flight))
        self._something_new(context)

    def _count_arrival(self, flight: Flight, context: ProcessingContext) -> None:
        add(context.state, f"arrivals/{flight['dest']}", flight["arr_delay"])
        context.emit("arrival_counted", arrived(flight), intent="arrived", key=flight["dest"])
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


class DelayStatisticsInBatches(DelayStatistics):
    """The same, many flights at a time: what they have in common is read and written once for all of them.

    A batch that fails is taken back, and each of its records processed alone by `process`.
    """

    def process_batch(self, commands: Commands, context: BatchContext) -> None:
        # All commands of a batch are of the same type.
        match commands.value_type:
            case "flight":
                self._count_departures(commands, context)
            case "arrival":
                self._count_arrivals(commands, context)
            case _:
                for index in range(len(commands)):
                    context.take(index)
                    self.process(commands.record(index), context)

    def _count_departures(self, commands: Commands, context: BatchContext) -> None:
        flights: list[Flight] = commands.values
        carriers = [f"carrier/{flight['carrier']}" for flight in flights]
        airports = [f"departures/{flight['origin']}" for flight in flights]
        known = context.state.get_many(carriers + airports)
        departures, intents = [], []
        for index, flight in enumerate(flights):
            delay = flight["dep_delay"]
            carrier, airport = count(known, carriers[index], delay), count(known, airports[index], delay)
            departures.append(departure(flight, carrier, airport))
            intents.append("cancelled" if delay is None else "departed")
            if flight["arr_delay"] is not None:
                # What is sent follows from this flight, not from the first of the batch.
                context.take(index)
                context.send(flight["dest"], "arrival", arrival(flight))
        context.state.put_many(known)
        origins = [flight["origin"] for flight in flights]
        context.emit_batch("departure", departures, intent=intents, keys=origins)
        self._something_new(context)

    def _count_arrivals(self, commands: Commands, context: BatchContext) -> None:
        flights: list[Flight] = commands.values
        known = context.state.get_many([f"arrivals/{flight['dest']}" for flight in flights])
        for flight in flights:
            count(known, f"arrivals/{flight['dest']}", flight["arr_delay"])
        context.state.put_many(known)
        destinations = [flight["dest"] for flight in flights]
        context.emit_batch("arrival_counted", [*map(arrived, flights)], intent="arrived", keys=destinations)
        self._something_new(context)


def departure(flight: Flight, carrier: Statistics, airport: Statistics) -> dict[str, Any]:
    return {
        "flight": flight["number"],
        "date": flight["date"],
        "origin": flight["origin"],
        "dest": flight["dest"],
        "delay": flight["dep_delay"],
        "carrier_mean_delay": mean(carrier),
        "airport_mean_delay": mean(airport),
    }


def arrival(flight: Flight) -> Flight:
    """What the airport of its destination is told."""
    return {name: flight[name] for name in ("number", "date", "dest", "arr_delay")}


def arrived(flight: Flight) -> dict[str, Any]:
    return {"flight": flight["number"], "date": flight["date"], "dest": flight["dest"], "delay": flight["arr_delay"]}


def add(state: State, key: str, delay: int | None) -> Statistics:
    """Counts one flight under `key`; returns the new statistics."""
    known = {key: statistics} if (statistics := state.get(key)) else {}
    counted = count(known, key, delay)
    state.put(key, counted)
    return counted


def count(known: dict[str, Statistics], key: str, delay: int | None) -> Statistics:
    """Counts one flight under `key` in what is known; a delay of None is a cancelled one. Returns the statistics."""
    statistics = known.setdefault(key, dict.fromkeys(("flights", "cancelled", "late", "minutes"), 0))
    if delay is None:
        statistics["cancelled"] += 1
    else:
        statistics["flights"] += 1
        statistics["late"] += delay >= LATE_MINUTES
        statistics["minutes"] += delay
        statistics["worst"] = max(delay, statistics.get("worst", delay))
    return statistics


def mean(statistics: Statistics) -> float | None:
    """The mean delay in minutes; None before the first flight that took off."""
    return round(statistics["minutes"] / statistics["flights"], 1) if statistics["flights"] else None


def summary(statistics: Statistics) -> Statistics:
    """What a summary says of one carrier or airport."""
    shown = {name: statistics.get(name) for name in ("flights", "cancelled", "late", "worst")}
    return shown | {"mean_delay": mean(statistics)}
