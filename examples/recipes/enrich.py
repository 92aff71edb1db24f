"""Enrich: orders get the name and country of their customer, which come as records too and may change.

Both have the customer's number as key. Orders that come before their customer wait for him.
"""

from penstock import ProcessingContext, Record

WAITING_MAX = 100


class Enrich:
    def process(self, record: Record, context: ProcessingContext) -> None:
        state, key = context.state, record.key
        if record.value["kind"] == "customer":
            state.put(f"customer/{key}", {"name": record.value["name"], "country": record.value["country"]})
            for order in state.get(f"waiting/{key}", []):
                self._emit(order, state.get(f"customer/{key}"), context)
            state.delete(f"waiting/{key}")
            return
        customer = state.get(f"customer/{key}")
        if customer is not None:
            self._emit(record.value, customer, context)
            return
        waiting = state.get(f"waiting/{key}", [])
        if len(waiting) == WAITING_MAX:
            context.reject(f"{WAITING_MAX} orders wait for customer {key} already")
        state.put(f"waiting/{key}", [*waiting, record.value])

    def _emit(self, order: dict[str, object], customer: dict[str, object], context: ProcessingContext) -> None:
        context.emit("order", {**order, "customer": customer})
