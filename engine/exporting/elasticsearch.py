"""Records as documents, through the bulk API of Elasticsearch and OpenSearch."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError, RetryLaterError, TargetError
from engine.core.records import Record
from engine.exporting.delivered import Delivered
from engine.exporting.document import UNSAYABLE, encoded, why_unsayable
from engine.exporting.halving import Halving
from engine.exporting.http_client import HttpClient
from engine.exporting.protocol import ExporterContext

_log = logging.getLogger("penstock.elasticsearch")

OpType = Literal["index", "create"]

# Beyond this a bulk only costs the target memory; its own limit is twenty times as high.
BULK_BYTES_MAX = 5 * 1024 * 1024
_HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}
# What an index may not be called, besides capitals and a beginning of - _ or +.
_NOT_IN_NAMES = re.compile(r'[\\/*?"<>| ,#:]')
# What is said of an index, the cluster or our rights with the status for a bad document. Whatever else it says may be a
# document's own fault; that shows when others get through.
_TARGETS_FAULTS = frozenset(
    (
        "cluster_block_exception",
        "index_closed_exception",
        "invalid_index_name_exception",
        "security_exception",
        "validation_exception",
    )
)
_TARGETS_WORDS = re.compile(r"op_type|data stream|shards|write index|read.only", re.IGNORECASE)
_DOCUMENTS_STATUS = frozenset((400, 413, 422))
_encode = msgspec.json.Encoder().encode


def elasticsearch(
    url: str,
    index: str = "penstock",
    *,
    op_type: OpType | None = None,
    username: str | None = None,
    password: str | None = None,
    api_key: str | None = None,
    timeout_ns: int = 30 * NS_PER_SECOND,
    ca_file: str | Path | None = None,
) -> Callable[[], Elasticsearch]:
    """The exporter for `Pipeline.export`. `{valueType}` in `index` becomes the record's value type.

    `op_type` is "index" or, for data streams, "create"; without one, whichever of both the target takes.
    """
    if op_type not in (None, "index", "create"):
        raise ConfigurationError(f"opType is index or create, not {op_type}")
    if timeout_ns <= 0:
        raise ConfigurationError(f"the time an answer may take must be longer than 0, not {timeout_ns} ns")
    plain = index.replace("{valueType}", "x")
    if plain != _index_name(plain):
        raise ConfigurationError(f"an index is named in lower case, without blanks and special characters, not {index}")
    headers = _authorization(username, password, api_key)
    certificates = Path(ca_file) if ca_file is not None else None
    HttpClient(url, timeout_ns=timeout_ns, ca_file=certificates).close()
    return lambda: Elasticsearch(
        HttpClient(url, headers=headers, timeout_ns=timeout_ns, ca_file=certificates), index, op_type=op_type
    )


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = ""


class _Result(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Item(msgspec.Struct):
    index: _Result | None = None
    create: _Result | None = None


class _Bulk(msgspec.Struct):
    items: list[_Item]


class Elasticsearch:
    """A document for each record, under the id `partition-position`: the same record again replaces itself.

    With `create`, as data streams ask for, it is left as it is. The answer tells of each document. What it took is not
    sent again; a field of another type, for instance, is the document's own fault, and it is refused; anything else
    (a right that is missing, an index that is blocked, too much to do) is the target's, and is tried again.
    """

    takes_again: Final = True

    def __init__(
        self, client: HttpClient, index: str, *, op_type: OpType | None = None, bulk_bytes_max: int = BULK_BYTES_MAX
    ) -> None:
        self._client = client
        self._index = index
        self._op_type: OpType = op_type or "index"
        self._may_turn_to_create = op_type is None
        self._bulk_bytes_max = bulk_bytes_max
        self._partition = 0
        self._delivered = Delivered()
        self._halving = Halving(self._delivered)
        self._read_answer = msgspec.json.Decoder(_Bulk).decode

    def open(self, context: ExporterContext) -> None:
        self._partition = context.partition

    def export(self, records: Sequence[Record]) -> None:
        try:
            self._send_all(records)
        except _OnlyCreateError:
            _log.info("%s: %s is a data stream, documents are created there", self._client.shown, self._index)
            self._op_type, self._may_turn_to_create = "create", False
            self._send_all(records)

    def _send_all(self, records: Sequence[Record]) -> None:
        for bulk in self._bulks(self._delivered.begin(records)):
            self._halving.send(bulk, self._send, lambda pair: pair[0].position)
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
                self._delivered.unsayable(record.position, why_unsayable(error))
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
        action = {self._op_type: {"_index": index, "_id": f"{self._partition}-{record.position}"}}
        text = encoded(record, self._partition)
        if self._op_type == "create":
            # A data stream wants to know when under this name, in milliseconds too.
            text = b'{"@timestamp":%d,' % (record.timestamp_ns // NS_PER_MS) + text[1:]
        return _encode(action) + b"\n" + text + b"\n"

    def _send(self, bulk: Sequence[tuple[Record, bytes]]) -> None:
        answer = self._client.post(b"".join(lines for _, lines in bulk), path="/_bulk", headers=_HEADERS)
        self._take(bulk, self._read(answer, len(bulk)))

    def _read(self, answer: bytes, count: int) -> list[_Result]:
        try:
            items = self._read_answer(answer).items
        except msgspec.MsgspecError as error:
            raise TargetError(f"{self._client.shown} does not answer as the bulk API does: {error}") from error
        results = [result for item in items if (result := item.create or item.index) is not None]
        if len(results) != count:
            raise TargetError(f"{self._client.shown} answers for {len(results)} documents, {count} were sent")
        return results

    def _take(self, bulk: Sequence[tuple[Record, bytes]], results: list[_Result]) -> None:
        busy = at_fault = None
        if self._may_turn_to_create and any(map(_asks_for_create, results)):
            raise _OnlyCreateError
        for (record, _), result in zip(bulk, results, strict=True):
            if result.status < 300 or (self._op_type == "create" and result.status == 409):
                # A conflict means that it is there: it came before.
                self._delivered.took([record])
            elif result.status == 429 and not _is_blocked(result):
                busy = busy or _why(result)
            elif _is_documents_fault(result):
                self._delivered.refused(record.position, _why(result))
            else:
                at_fault = at_fault or _why(result)
        if at_fault is not None:
            raise TargetError(f"{self._client.shown} could not store all documents: {at_fault}")
        if busy is not None:
            raise RetryLaterError(f"{self._client.shown} is too busy for all documents: {busy}", 0)


class _OnlyCreateError(Exception):
    """What is written to takes new documents only."""


def _asks_for_create(result: _Result) -> bool:
    return result.error is not None and "op_type of create" in (result.error.reason or "")


def _is_blocked(result: _Result) -> bool:
    """A full disk is said with the status of one who is busy."""
    return result.error is not None and result.error.type == "cluster_block_exception"


def _is_documents_fault(result: _Result) -> bool:
    """Whether it may be said of the content of this one document."""
    error = result.error or _Error()
    if result.status not in _DOCUMENTS_STATUS or error.type in _TARGETS_FAULTS:
        return False
    return not (error.type == "illegal_argument_exception" and _TARGETS_WORDS.search(error.reason or ""))


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
