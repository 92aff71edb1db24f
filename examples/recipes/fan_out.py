"""Fan-out: an order becomes a command for each of its items, in the partition that keeps that item's stock.

The messages leave with the order's own commit: all of them, or none.
"""

from penstock import ProcessingContext, Record


class FanOut:
    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.value_type == "reserve":
            self._reserve(record, context)
            return
        for item in record.value["items"]:
            context.send(item["sku"], "reserve", {"order": record.value["id"], "count": item["count"]})

    def _reserve(self, record: Record, context: ProcessingContext) -> None:
        stock = context.state.get(f"stock/{record.key}", 0) - record.value["count"]
        context.state.put(f"stock/{record.key}", stock)
        context.emit("reserved", {**record.value, "sku": record.key, "left": stock})
