"""Window: sums by key and minute, told once the minute is over and a little time for the late has passed.

Times are those of the values. A value that comes later than that is told by itself, as a correction.
"""

from penstock import ProcessingContext, Record

WINDOW_SECONDS = 60
LATE_SECONDS = 10


class Window:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.intent == "close":
            self._close(record, context)
            return
        start = int(record.value["time"]) // WINDOW_SECONDS * WINDOW_SECONDS
        name = f"{record.key}/{start}"
        window = context.state.get(name)
        if window == "closed":
            context.emit("correction", {"key": record.key, "start": start, "amount": record.value["amount"]})
            return
        if window is None:
            window = {"count": 0, "sum": 0}
            context.schedule(WINDOW_SECONDS + LATE_SECONDS, "window", start, intent="close", key=record.key)
        window["count"] += 1
        window["sum"] += record.value["amount"]
        context.state.put(name, window)

    def _close(self, record: Record, context: ProcessingContext) -> None:
        name = f"{record.key}/{record.value}"
        window = context.state.get(name)
        if window == "closed":
            context.state.delete(name)
            return
        context.emit("window", {"key": record.key, "start": record.value, **window})
        # Late ones must find it for a while; the same timer once more forgets it.
        context.state.put(name, "closed")
        context.schedule(10 * WINDOW_SECONDS, "window", record.value, intent="close", key=record.key)
