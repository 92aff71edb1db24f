"""Route: each record goes to the exporter that is for it; an exporter chooses by value type.

exporters:
  invoices: {jsonl: {path: out/invoices.ndjson}, filter: {valueTypes: [invoice]}}
  alarms:   {http: {url: "https://…"}, filter: {valueTypes: [alarm]}}
"""

from penstock import ProcessingContext, Record

KINDS = {"bill": "invoice", "credit": "invoice", "fault": "alarm"}


class Route:
    def process(self, record: Record, context: ProcessingContext) -> None:
        kind = KINDS.get(record.value.get("kind"))
        if kind is None:
            context.reject(f"no route for kind {record.value.get('kind')!r}")
        context.emit(kind, record.value)
