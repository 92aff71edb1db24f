"""Join: an order and its payment, in whatever order they come; who waits too long is told alone.

Both sources have the order's number as key, so that they meet in one partition.
"""

from penstock import ProcessingContext, Record

WAIT_SECONDS = 900


class Join:
    def process(self, record: Record, context: ProcessingContext) -> None:
        waiting = f"waiting/{record.key}"
        other = context.state.get(waiting)
        if record.intent == "give_up":
            if other is not None:
                context.emit("unmatched", other["value"])
                context.state.delete(waiting)
            return
        side = "payment" if "paid" in record.value else "order"
        if other is not None and other["side"] != side:
            context.emit("paid_order", {**other["value"], **record.value})
            context.cancel(other["timer"])
            context.state.delete(waiting)
        elif other is not None:
            context.reject(f"a second {side} of order {record.key}")
        else:
            timer = context.schedule(WAIT_SECONDS, "join", None, intent="give_up", key=record.key)
            context.state.put(waiting, {"side": side, "value": record.value, "timer": timer})
