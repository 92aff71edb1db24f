"""Deduplicate: a value that comes again within a day is dropped, wherever the doubling came from.

The key must lead both to the same partition: `key: id`.
"""

from penstock import ProcessingContext, Record

REMEMBERED_SECONDS = 24 * 3600


class Deduplicate:
    def process(self, record: Record, context: ProcessingContext) -> None:
        seen = f"seen/{record.key}"
        if record.intent == "forget":
            context.state.delete(seen)
        elif context.state.get(seen) is None:
            context.state.put(seen, True)
            context.emit("first", record.value)
            # Without it the state would grow for ever.
            context.schedule(REMEMBERED_SECONDS, "seen", None, intent="forget", key=record.key)
