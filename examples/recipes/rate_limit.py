"""Rate-limit: at most five mails to one customer an hour; what is more waits, in its order.

This is a rule of the business, by key. What protects the machine is flow control (docs/flow-control.md).
"""

from penstock import ProcessingContext, Record

MAILS = 5
PERIOD_SECONDS = 3600


class RateLimit:
    def process(self, record: Record, context: ProcessingContext) -> None:
        name = f"mails/{record.key}"
        mails = context.state.get(name, {"sent": 0, "waiting": []})
        if record.intent == "period_over":
            now, later = mails["waiting"][:MAILS], mails["waiting"][MAILS:]
            mails = {"sent": 0, "waiting": later}
        else:
            # Whoever waits already goes first.
            now = [record.value] if not mails["waiting"] else []
            if mails["sent"] == MAILS or mails["waiting"]:
                mails["waiting"].append(record.value)
                now = []
        for mail in now:
            if mails["sent"] == 0:
                context.schedule(PERIOD_SECONDS, "mails", None, intent="period_over", key=record.key)
            mails["sent"] += 1
            context.emit("mail", mail, key=record.key)
        if mails["sent"] or mails["waiting"]:
            context.state.put(name, mails)
        else:
            context.state.delete(name)
