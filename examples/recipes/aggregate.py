"""Aggregate: running totals by key, and every ten seconds one summary of all that changed."""

from penstock import ProcessingContext, Record

EVERY_SECONDS = 10


class Aggregate:
    def process(self, record: Record, context: ProcessingContext) -> None:
        state = context.state
        if record.intent == "summarise":
            changed = {key.removeprefix("changed/"): total for key, total in state.scan("changed/")}
            context.emit("summary", changed)
            for key in changed:
                state.delete(f"changed/{key}")
            state.delete("timer")
            return
        total = state.get(f"total/{record.key}", 0) + record.value["amount"]
        state.put(f"total/{record.key}", total)
        state.put(f"changed/{record.key}", total)
        # One timer a partition, and none while nothing changes.
        if state.get("timer") is None:
            state.put("timer", context.schedule(EVERY_SECONDS, "summary", None, intent="summarise"))
