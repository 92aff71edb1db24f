"""Sessionise: clicks of a visitor are one session until half an hour passes without one."""

from penstock import ProcessingContext, Record

GAP_SECONDS = 1800


class Sessionise:
    def process(self, record: Record, context: ProcessingContext) -> None:
        name = f"session/{record.key}"
        session = context.state.get(name)
        if record.intent == "end":
            context.emit("session", {"visitor": record.key, "clicks": session["clicks"], "first": session["first"]})
            context.state.delete(name)
            return
        if session is None:
            session = {"clicks": 0, "first": record.value["page"]}
        else:
            context.cancel(session["timer"])
        session["clicks"] += 1
        session["timer"] = context.schedule(GAP_SECONDS, "session", None, intent="end", key=record.key)
        context.state.put(name, session)
