"""Records as documents, through the bulk API of Elasticsearch and OpenSearch."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError, RetryLaterError, TargetError
from engine.core.records import Record
from engine.exporting.delivered import Delivered
from engine.exporting.document import UNSAYABLE, encoded, why_unsayable
from engine.exporting.http_client import HttpClient, NotLikedError
from engine.exporting.protocol import ExporterContext

# Beyond this a bulk only costs the target memory; its own limit is twenty times as high.
BULK_BYTES_MAX = 5 * 1024 * 1024
_HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}
# What an index may not be called, besides capitals and a beginning of - _ or +.
_NOT_IN_NAMES = re.compile(r'[\\/*?"<>| ,#:]')
_encode = msgspec.json.Encoder().encode


def elasticsearch(
    url: str,
    index: str = "penstock",
    *,
    username: str | None = None,
    password: str | None = None,
    api_key: str | None = None,
    timeout_ns: int = 30 * NS_PER_SECOND,
    ca_file: str | Path | None = None,
) -> Callable[[], Elasticsearch]:
    """The exporter for `Pipeline.export`. `{valueType}` in `index` becomes the record's value type."""
    if timeout_ns <= 0:
        raise ConfigurationError(f"the time an answer may take must be longer than 0, not {timeout_ns} ns")
    plain = index.replace("{valueType}", "x")
    if plain != _index_name(plain):
        raise ConfigurationError(f"an index is named in lower case, without blanks and special characters, not {index}")
    headers = _authorization(username, password, api_key)
    certificates = Path(ca_file) if ca_file is not None else None
    HttpClient(url, timeout_ns=timeout_ns, ca_file=certificates).close()
    return lambda: Elasticsearch(HttpClient(url, headers=headers, timeout_ns=timeout_ns, ca_file=certificates), index)


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = ""


class _Result(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Item(msgspec.Struct):
    index: _Result


class _Bulk(msgspec.Struct):
    items: list[_Item]


class Elasticsearch:
    """A document for each record, under the id `partition-position`: the same record again replaces itself.

    The answer tells of each document. What it took is not sent again; what it was too busy for is tried again; what it
    will never take (a field of another type, for instance) is refused.
    """

    def __init__(self, client: HttpClient, index: str, bulk_bytes_max: int = BULK_BYTES_MAX) -> None:
        self._client = client
        self._index = index
        self._bulk_bytes_max = bulk_bytes_max
        self._partition = 0
        self._delivered = Delivered()
        self._read_answer = msgspec.json.Decoder(_Bulk).decode

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition

    def export(self, records: Sequence[Record]) -> None:
        for bulk in self._bulks(self._delivered.begin(records)):
            self._send(bulk)
        self._delivered.end()

    def close(self) -> None:
        self._client.close()

    def _bulks(self, records: Sequence[Record]) -> Iterator[list[tuple[Record, bytes]]]:
        """The records with their lines, cut to the size of a bulk."""
        bulk: list[tuple[Record, bytes]] = []
        size = 0
        for record in records:
            try:
                lines = self._lines(record)
            except UNSAYABLE as error:
                self._delivered.refused(record.position, why_unsayable(error))
                continue
            if bulk and size + len(lines) > self._bulk_bytes_max:
                yield bulk
                bulk, size = [], 0
            bulk.append((record, lines))
            size += len(lines)
        if bulk:
            yield bulk

    def _lines(self, record: Record) -> bytes:
        index = self._index
        if "{valueType}" in index:
            index = _index_name(index.replace("{valueType}", record.value_type))
        action = {"index": {"_index": index, "_id": f"{self._partition}-{record.position}"}}
        return _encode(action) + b"\n" + encoded(record, self._partition) + b"\n"

    def _send(self, bulk: list[tuple[Record, bytes]]) -> None:
        try:
            answer = self._client.post(b"".join(lines for _, lines in bulk), path="/_bulk", headers=_HEADERS)
        except NotLikedError as error:
            # The bulk as a whole; which record is to blame only shows when it is alone.
            if len(bulk) == 1:
                self._delivered.refused(bulk[0][0].position, str(error))
            else:
                half = len(bulk) // 2
                self._send(bulk[:half])
                self._send(bulk[half:])
            return
        self._take(bulk, self._read(answer, len(bulk)))

    def _read(self, answer: bytes, count: int) -> list[_Result]:
        try:
            items = self._read_answer(answer).items
        except msgspec.MsgspecError as error:
            raise TargetError(f"{self._client.shown} does not answer as the bulk API does: {error}") from error
        if len(items) != count:
            raise TargetError(f"{self._client.shown} answers for {len(items)} documents, {count} were sent")
        return [item.index for item in items]

    def _take(self, bulk: list[tuple[Record, bytes]], results: list[_Result]) -> None:
        busy = broken = None
        for (record, _), result in zip(bulk, results, strict=True):
            if result.status < 300:
                self._delivered.took([record])
            elif result.status == 429:
                busy = busy or _why(result)
            elif result.status < 500:
                self._delivered.refused(record.position, _why(result))
            else:
                broken = broken or _why(result)
        if broken is not None:
            raise TargetError(f"{self._client.shown} could not store all documents: {broken}")
        if busy is not None:
            raise RetryLaterError(f"{self._client.shown} is too busy for all documents: {busy}", 0)


def _why(result: _Result) -> str:
    error = result.error or _Error()
    return f"{result.status} {error.type}: {error.reason or 'no reason given'}"


def _index_name(text: str) -> str:
    """A name that an index may have."""
    return _NOT_IN_NAMES.sub("-", text.lower()).lstrip("-_+") or "penstock"


def _authorization(username: str | None, password: str | None, api_key: str | None) -> dict[str, str]:
    if api_key is not None and username is not None:
        raise ConfigurationError("elasticsearch takes a user or an API key, not both")
    if api_key is not None:
        return {"authorization": f"ApiKey {api_key}"}
    if username is not None:
        credentials = f"{username}:{password or ''}"
        return {"authorization": f"Basic {b64encode(credentials.encode()).decode()}"}
    return {}
