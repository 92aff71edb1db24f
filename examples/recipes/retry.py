"""Retry: what another service refuses is tried again later, more and more rarely, then given up.

The call itself is in the processor, so it may happen twice for one record where a crash lies between: give the
service something to recognise it by (here the record's key).
"""

from collections.abc import Callable

from penstock import ProcessingContext, Record

ATTEMPTS = 5


class Retry:
    def __init__(self, call: Callable[[str, object], None]) -> None:
        self._call = call

    def process(self, record: Record, context: ProcessingContext) -> None:
        attempt = record.value["attempt"] if record.intent == "again" else 1
        body = record.value["body"] if record.intent == "again" else record.value
        try:
            self._call(record.key, body)
        except ConnectionError as error:
            if attempt == ATTEMPTS:
                context.reject(f"given up after {ATTEMPTS} attempts: {error}")
            again = {"attempt": attempt + 1, "body": body}
            context.schedule(2**attempt, "call", again, intent="again", key=record.key)
        else:
            context.emit("called", {"key": record.key, "attempt": attempt})
