"""Back-fill: old values are read once more beside the living ones; per key, the newest one counts.

Old and new come through two sources of one pipeline, in any order. A value says when it was true (`version`).
"""

from penstock import ProcessingContext, Record


class BackFill:
    def process(self, record: Record, context: ProcessingContext) -> None:
        name = f"latest/{record.key}"
        version = record.value["version"]
        if version <= context.state.get(name, -1):
            # Known already, or older than what is: the back-fill may be run again.
            return
        context.state.put(name, version)
        context.emit("latest", record.value)
