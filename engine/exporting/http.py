"""Records to a URL, as batches of newline-delimited JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.core.records import Record
from engine.exporting.delivered import Delivered
from engine.exporting.document import sayable_lines
from engine.exporting.halving import Halving
from engine.exporting.http_client import HttpClient
from engine.exporting.protocol import ExporterContext


def http(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_ns: int = 30 * NS_PER_SECOND,
    ca_file: str | Path | None = None,
) -> Callable[[], HttpLines]:
    """The exporter for `Pipeline.export`: a POST for each batch."""
    certificates = Path(ca_file) if ca_file is not None else None
    if timeout_ns <= 0:
        raise ConfigurationError(f"the time an answer may take must be longer than 0, not {timeout_ns} ns")
    # An address that cannot be one is said before anything runs.
    HttpClient(url, timeout_ns=timeout_ns, ca_file=certificates).close()
    return lambda: HttpLines(HttpClient(url, headers=headers, timeout_ns=timeout_ns, ca_file=certificates))


class HttpLines:
    """Any 2xx answer means that the whole body is safe there. At least once, and in order.

    `Penstock-Partition`, `-First-Position` and `-Last-Position` let a target drop what it has. A body that is not liked
    (400, 413, 415, 422) is halved until the records to blame are alone; where it takes none at all, the target is at
    fault. A record that JSON cannot say is refused here.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._partition = 0
        self._delivered = Delivered()
        self._halving = Halving(self._delivered)

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition

    def export(self, records: Sequence[Record]) -> None:
        self._halving.send(self._delivered.begin(records), self._send, lambda record: record.position)
        self._delivered.end()

    def close(self) -> None:
        self._client.close()

    def _send(self, records: Sequence[Record]) -> None:
        body, unsayable = sayable_lines(records, self._partition)
        for position, why in unsayable.items():
            self._delivered.unsayable(position, why)
        if unsayable:
            records = [record for record in records if record.position not in unsayable]
        if not records:
            return
        headers = {
            "content-type": "application/x-ndjson",
            "penstock-partition": str(self._partition),
            "penstock-first-position": str(records[0].position),
            "penstock-last-position": str(records[-1].position),
        }
        self._client.post(body, headers=headers)
        self._delivered.took(records)
