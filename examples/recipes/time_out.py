"""Time-out with cancel: who starts something has to finish it within five minutes, or is told of it.

The number of the timer lies in the state, so that the end can take it back.
"""

from penstock import ProcessingContext, Record

ALLOWED_SECONDS = 300


class TimeOut:
    def process(self, record: Record, context: ProcessingContext) -> None:
        task = f"task/{record.key}"
        if record.intent == "too_late":
            context.state.delete(task)
            context.emit("timed_out", {"task": record.key, "after": ALLOWED_SECONDS})
        elif record.value["status"] == "started":
            timer = context.schedule(ALLOWED_SECONDS, "task", None, intent="too_late", key=record.key)
            context.state.put(task, timer)
        else:
            timer = context.state.get(task)
            if timer is None:
                context.reject(f"task {record.key} was not started, or has timed out already")
            context.cancel(timer)
            context.state.delete(task)
            context.emit("done", {"task": record.key})
