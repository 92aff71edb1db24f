"""From an exporter's section to what makes it, and to words for people. Imports only what the kind needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.core.secrets import shown_address
from engine.exporting.protocol import ExporterFactory
from engine.exporting.rotation import Rotation
from engine.kafka.settings import KafkaConnection
from penstock.settings.entries import Mistake, Place
from penstock.settings.entries import Path as Keys
from penstock.settings.exporters import (
    ElasticsearchSection,
    ExporterSection,
    HttpSection,
    JsonlSection,
    PostgresSection,
)
from penstock.settings.fitting import check_class
from penstock.settings.kafka import KafkaExporterSection, connection

T = TypeVar("T")
_EXPORTER_METHODS = {"open": ("context",), "export": ("records",), "close": ()}


class Surroundings(Protocol):
    """What is known of the file around the section: where things stand, and where code is."""

    # Else what is written as module:name is only named.
    imports_code: bool

    def path(self, written: str, at: Keys) -> Path: ...

    def code(self, reference: str, at: Keys) -> Callable[..., Any]: ...

    def placed(self, at: Keys, act: Callable[[], T]) -> T: ...

    def place(self, at: Keys) -> Place: ...


class ExporterKinds:
    """Makes the exporters of one pipeline; two of them must not write the same file."""

    def __init__(self, around: Surroundings, default_cluster: KafkaConnection | None = None) -> None:
        """`default_cluster` is that of the log, for those that name none."""
        self._around = around
        self._default_cluster = default_cluster
        # Whose file each is.
        self._files: dict[Path, str] = {}

    def make(self, name: str, section: ExporterSection, at: Keys) -> tuple[ExporterFactory, str]:
        """The factory, and what the exporter does in a few words."""
        if section.jsonl is not None:
            return self._jsonl(name, section.jsonl, (*at, "jsonl"))
        if section.postgres is not None:
            return self._postgres(section.postgres, (*at, "postgres"))
        if section.elasticsearch is not None:
            return self._elasticsearch(section.elasticsearch, (*at, "elasticsearch"))
        if section.http is not None:
            return self._http(section.http, (*at, "http"))
        if section.kafka is not None:
            return self._kafka(section.kafka, (*at, "kafka"))
        assert section.class_ is not None, "the section has exactly one kind"
        return self._user_class(section.class_, section.options, at)

    def _jsonl(self, name: str, section: JsonlSection, at: Keys) -> tuple[ExporterFactory, str]:
        from engine.exporting.jsonl import jsonl

        path = self._around.path(section.path, (*at, "path"))
        if path in self._files:
            place = self._around.place((*at, "path"))
            raise Mistake(place, f"is the file of exporter {self._files[path]!r} already: {path}")
        self._files[path] = name
        rotate = section.rotate
        if rotate is None:
            return jsonl(path), f"jsonl to {path}"
        rotation = self._around.placed(
            (*at, "rotate"), lambda: Rotation(size_bytes=rotate.size, gzip=rotate.gzip, keep=rotate.keep)
        )
        return jsonl(path, rotation=rotation), f"jsonl to {path}, a new file after {rotate.size} bytes"

    def _postgres(self, section: PostgresSection, at: Keys) -> tuple[ExporterFactory, str]:
        from engine.exporting.postgres import postgres

        factory = self._around.placed(at, lambda: postgres(section.url, section.table, timeout_ns=section.timeout))
        return factory, f"postgres to table {section.table} at {shown_address(section.url)}"

    def _elasticsearch(self, section: ElasticsearchSection, at: Keys) -> tuple[ExporterFactory, str]:
        from engine.exporting.elasticsearch import elasticsearch

        factory = self._around.placed(
            at,
            lambda: elasticsearch(
                section.url,
                section.index,
                op_type=section.op_type,
                username=section.username,
                password=section.password,
                api_key=section.api_key,
                timeout_ns=section.timeout,
                ca_file=self._file(section.ca_file, (*at, "caFile")),
            ),
        )
        return factory, f"elasticsearch to index {section.index} at {shown_address(section.url)}"

    def _http(self, section: HttpSection, at: Keys) -> tuple[ExporterFactory, str]:
        from engine.exporting.http import http

        factory = self._around.placed(
            at,
            lambda: http(
                section.url,
                headers=section.headers,
                timeout_ns=section.timeout,
                ca_file=self._file(section.ca_file, (*at, "caFile")),
            ),
        )
        return factory, f"http to {shown_address(section.url)}"

    def _kafka(self, section: KafkaExporterSection, at: Keys) -> tuple[ExporterFactory, str]:
        from engine.exporting.kafka import kafka

        where = connection(section, at, self._around, self._default_cluster)
        factory = self._around.placed(at, lambda: kafka(where, section.topic, timeout_ns=section.timeout))
        return factory, f"kafka to topic {section.topic} at {where.bootstrap_servers}"

    def _user_class(self, reference: str, options: dict[str, Any], at: Keys) -> tuple[ExporterFactory, str]:
        made = self._around.code(reference, (*at, "class"))
        if self._around.imports_code:
            self._around.placed(at, lambda: check_class(made, _EXPORTER_METHODS, options))
        return lambda: made(**options), reference

    def _file(self, written: str | None, at: Keys) -> Path | None:
        return None if written is None else self._around.path(written, at)
