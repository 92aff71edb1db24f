"""The OpenAPI document describes every route as it is: made-up requests get no answer that it does not name."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from exporter.history import HistorySampler
from exporter.management.app import management_app
from exporter.management.flow_control.change import _PARTS, _Section
from exporter.management.hosts import HostNames
from exporter.management.openapi import openapi_document
from exporter.management.openapi.document import described, undescribed
from tests.support.engines import FakeEngine
from tests.support.management import OpenPort
from tests.support.snapshots import busy_snapshot, vertex

# How many requests are made up for each operation; `OPENAPI_EXAMPLES=500` for a long run by hand.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "20"))
load_all_checks()
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    app = management_app(FakeEngine(), HistorySampler(FakeEngine()), names=HostNames("127.0.0.1"))
    assert undescribed(app.routes) == set()


def test_operations_have_names_of_their_own() -> None:
    names = [operation.name for operation in described()]
    assert len(set(names)) == len(names)


def keys_of_section(section: _Section) -> dict[str, object]:
    return {
        key: keys_of_section(expected) if isinstance(expected, _Section) else None
        for key, (_, expected) in section.keys.items()
    }


def keys_of_schema(schema: dict[str, object]) -> dict[str, object] | None:
    alternatives = schema.get("anyOf", [schema])
    assert isinstance(alternatives, list)
    for alternative in alternatives:
        if "properties" in alternative:
            return {key: keys_of_schema(inner) for key, inner in alternative["properties"].items()}
    return None


@pytest.mark.parametrize("name", ["FlowControlChange", "FlowControlPatch"])
def test_a_change_of_the_limits_has_the_keys_that_are_read(name: str) -> None:
    schemas = openapi_document()["components"]["schemas"]  # type: ignore[index]
    assert keys_of_schema(schemas[name]) == {part: keys_of_section(section) for part, section in _PARTS.items()}


SCHEMA = schemathesis.openapi.from_dict(openapi_document())
# A stream without end has no end to wait for; test_history.py reads it.
OPERATIONS = {
    operation.label: operation
    for found in SCHEMA.get_all_operations()
    if (operation := found.ok()).path != "/api/events"
}
# What the engine behind the port has.
THERE = {"jobid": busy_snapshot().job_id, "vertexid": vertex("parse").vertex_id, "subtaskindex": "0", "path": "page.js"}


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_made_up_request_gets_an_answer_that_is_not_described(shared_port: OpenPort, label: str) -> None:
    shared_port.engine.__dict__.update(FakeEngine().__dict__)

    # Without shrinking: what fails says which request it was.
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=OPERATIONS[label].as_strategy() | OPERATIONS[label].as_strategy(GenerationMode.NEGATIVE),
        is_there=st.booleans(),
    )
    def holds(case: Case, is_there: bool) -> None:
        if is_there:
            # No made-up id is that of anything.
            case.path_parameters.update({name: THERE[name] for name in case.path_parameters if name in THERE})
        case.call_and_validate(base_url=shared_port.server.url, checks=CHECKS)

    holds()
