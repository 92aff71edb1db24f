"""`/actuator/flowControl`: the documented shapes, what a POST changes, and the status of what it may not.

Over a running engine, in one process and over two workers; over a stand-in where an engine must fail or say what
no idle one says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock, Semaphore

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import PenstockError
from engine.flow.request.limit import RequestLimiterState
from engine.flow.settings import (
    AimdSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    WriteLimitSettings,
)
from exporter.management.flow_control.answer import flow_control_answer
from exporter.management.flow_control.change import FaultyError, read_change
from exporter.management.flow_control.posted import BODY_BYTES_MAX
from tests.support.engines import FakeEngine
from tests.support.management import OpenPort, open_port
from tests.support.surfaces import WORKERS, WORKERS_IDS, NotedPort, noted_port

PATH = "/actuator/flowControl"
PRESENT = FlowControlSettings(
    write=WriteLimitSettings(
        enabled=True,
        limit=2500,
        ramp_up_ns=5 * NS_PER_SECOND,
        throttling=ThrottlingSettings(enabled=True, acceptable_backlog=50_000, minimum_limit=200),
    ),
    request=RequestLimitSettings(enabled=True, aimd=AimdSettings(initial_limit=50)),
)
AIMD = RequestLimiterState(
    algorithm="aimd",
    limit=100,
    windowed=True,
    min_limit=1,
    max_limit=1000,
    backoff_ratio=0.9,
    expected_rtt_ns=200 * NS_PER_MS,
)


@pytest.fixture(scope="module", params=WORKERS, ids=WORKERS_IDS)
def shared_running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotedPort]:
    with noted_port(tmp_path_factory.mktemp("data"), workers=request.param) as running:
        yield running


@pytest.fixture
def running(shared_running: NotedPort) -> NotedPort:
    """A port before two partitions without limits."""
    shared_running.engine.as_new()
    return shared_running


@pytest.fixture
def present(running: NotedPort) -> NotedPort:
    """The same with the settings `PRESENT`."""
    running.engine.settings = {1: PRESENT, 2: PRESENT}
    return running


def post(port: OpenPort | NotedPort, body: str | bytes, content_type: str = "application/json") -> httpx.Response:
    return port.client.post(PATH, content=body, headers={"Content-Type": content_type})


# -- GET ---


def test_the_answer_is_the_documented_one_byte_for_byte(port: OpenPort) -> None:
    write = WriteLimitSettings(enabled=True, limit=2500, throttling=ThrottlingSettings(enabled=True))
    port.engine.settings = {2: FlowControlSettings(), 1: FlowControlSettings(write=write)}
    port.engine.limiters = {1: replace(AIMD, windowed=False)}
    answer = port.client.get(PATH)
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == (
        '{"1":{"requestLimiter":{"limit":100,"minLimit":1,"maxLimit":1000,"backoffRatio":0.9,"expectedRTT":200000000},'
        '"writeRateLimit":{"enabled":true,"limit":2500,"rampUp":0.0,'
        '"throttling":{"enabled":true,"acceptableBacklog":100000,"minRate":100,"resolution":15.0}}},'
        '"2":{"requestLimiter":null,"writeRateLimit":null}}'
    )


def test_partitions_are_in_the_order_of_their_numbers() -> None:
    assert list(flow_control_answer({n: FlowControlSettings() for n in (10, 9, 1)}, {})) == ["1", "9", "10"]


VEGAS_BODY = {"limit": 20, "estimatedLimit": 20.5, "rtt_noload": 0, "maxLimit": 1000, "smoothing": 1.0}


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (None, None),
        (RequestLimiterState(algorithm="fixed", limit=20), {"limit": 20}),
        (RequestLimiterState(algorithm="gradient", limit=20, min_limit=10), {"limit": 20}),
        (RequestLimiterState(algorithm="gradient2", limit=20, max_limit=9), {"limit": 20}),
        (RequestLimiterState(algorithm="fixed", limit=20, windowed=True), {"delegate": {"limit": 20}}),
        *(
            (
                RequestLimiterState(
                    algorithm=name, limit=20, max_limit=1000, estimated_limit=20.5, rtt_noload_ns=0, smoothing=1.0
                ),
                VEGAS_BODY,
            )
            for name in ("vegas", "legacy_vegas")
        ),
        (
            AIMD,
            {
                "delegate": {
                    "limit": 100,
                    "minLimit": 1,
                    "maxLimit": 1000,
                    "backoffRatio": 0.9,
                    "expectedRTT": 200_000_000,
                }
            },
        ),
    ],
)
def test_a_request_limiter_is_shown_in_the_shape_of_its_algorithm(
    state: RequestLimiterState | None, shown: object
) -> None:
    answer = flow_control_answer({1: FlowControlSettings()}, {1: state})
    # As text, because the order of the keys is part of the shape.
    assert json.dumps(answer["1"]["requestLimiter"]) == json.dumps(shown)


def test_a_disabled_write_limit_stays_in_the_answer() -> None:
    settings = FlowControlSettings(write=WriteLimitSettings(enabled=False, limit=5))
    write = flow_control_answer({1: settings}, {})["1"]["writeRateLimit"]
    assert (write["enabled"], write["limit"]) == (False, 5)


# -- POST: what is changed ---

WRITE, REQUEST = PRESENT.write, PRESENT.request
assert WRITE is not None

CHANGES: dict[str, FlowControlSettings] = {
    '{"write":{"limit":3000}}': replace(PRESENT, write=replace(WRITE, limit=3000)),
    '{"write":{"enabled":false}}': replace(PRESENT, write=replace(WRITE, enabled=False)),
    '{"write":{"enabled":false,"limit":0}}': replace(PRESENT, write=replace(WRITE, enabled=False, limit=0)),
    # Durations in all written forms.
    **{
        f'{{"write":{{"rampUp":{written}}}}}': replace(
            PRESENT, write=replace(WRITE, ramp_up_ns=seconds * NS_PER_SECOND)
        )
        for written, seconds in {
            "10": 10,
            "10.0": 10,
            '"10"': 10,
            '"10s"': 10,
            '"PT10S"': 10,
            '"2m"': 120,
            '"1h30m"': 5400,
            "0": 0,
        }.items()
    },
    '{"write":{"rampUp":0.5}}': replace(PRESENT, write=replace(WRITE, ramp_up_ns=NS_PER_SECOND // 2)),
    # Both names of the minimum.
    **{
        f'{{"write":{{"throttling":{{"{name}":300}}}}}}': replace(
            PRESENT, write=replace(WRITE, throttling=replace(WRITE.throttling, minimum_limit=300))
        )
        for name in ("minimumLimit", "minRate")
    },
    '{"write":{"throttling":{"acceptableBacklog":0,"resolution":"500ms"}}}': replace(
        PRESENT,
        write=replace(WRITE, throttling=replace(WRITE.throttling, acceptable_backlog=0, resolution_ns=500 * NS_PER_MS)),
    ),
    '{"write":{"throttling":{"algorithm":"ADAPTIVE","measurementWindow":"1m","measurementResolution":"5s"}}}': replace(
        PRESENT,
        write=replace(
            WRITE,
            throttling=replace(
                WRITE.throttling,
                algorithm=ThrottlingAlgorithm.ADAPTIVE,
                measurement_window_ns=60 * NS_PER_SECOND,
                measurement_resolution_ns=5 * NS_PER_SECOND,
            ),
        ),
    ),
    '{"request":{"enabled":false}}': replace(PRESENT, request=replace(REQUEST, enabled=False)),
    '{"request":{"algorithm":"VEGAS","useWindowed":false,"vegas":{"alpha":4}}}': replace(
        PRESENT,
        request=replace(
            REQUEST, algorithm=RequestAlgorithm.VEGAS, use_windowed=False, vegas=replace(REQUEST.vegas, alpha=4)
        ),
    ),
    '{"request":{"algorithm":"legacy_vegas","legacyVegas":{"alphaLimit":0.8}}}': replace(
        PRESENT,
        request=replace(
            REQUEST,
            algorithm=RequestAlgorithm.LEGACY_VEGAS,
            legacy_vegas=replace(REQUEST.legacy_vegas, alpha_limit=0.8),
        ),
    ),
    '{"request":{"aimd":{"requestTimeout":"PT1S","maxLimit":60}}}': replace(
        PRESENT, request=replace(REQUEST, aimd=replace(REQUEST.aimd, request_timeout_ns=NS_PER_SECOND, max_limit=60))
    ),
    '{"write":null,"request":{"enabled":false}}': replace(PRESENT, request=replace(REQUEST, enabled=False)),
    '{"write":{"limit":3000},"request":{"fixed":{"limit":7},"algorithm":"FIXED"}}': FlowControlSettings(
        write=replace(WRITE, limit=3000),
        request=replace(REQUEST, algorithm=RequestAlgorithm.FIXED, fixed=replace(REQUEST.fixed, limit=7)),
    ),
}


@pytest.mark.parametrize("body", CHANGES)
def test_a_post_changes_what_it_names_on_all_partitions_and_leaves_the_rest(present: NotedPort, body: str) -> None:
    answer = post(present, body)
    assert answer.status_code == 200, answer.text
    assert present.engine.applied == [({1: CHANGES[body], 2: CHANGES[body]}, None)]
    assert answer.text == present.client.get(PATH).text


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"write":null}',
        '{"write":null,"request":null}',
        '{"write":{}}',
        '{"request":{},"write":{"throttling":{}}}',
        '{"write":{"limit":2500,"rampUp":"PT5S","throttling":{"minRate":200}},"request":{"aimd":{"initialLimit":50}}}',
    ],
)
def test_a_post_of_what_is_in_force_already_changes_nothing(present: NotedPort, body: str) -> None:
    answer = post(present, body)
    assert (answer.status_code, present.engine.applied) == (200, [])
    assert answer.text == present.client.get(PATH).text


def test_a_first_write_section_begins_from_the_documented_defaults(running: NotedPort) -> None:
    assert running.client.get(PATH).json()["1"]["writeRateLimit"] is None
    answer = post(running, '{"write":{"enabled":true}}')
    assert answer.json()["1"]["writeRateLimit"] == {
        "enabled": True,
        "limit": 1000,
        "rampUp": 0.0,
        "throttling": {"enabled": False, "acceptableBacklog": 100_000, "minRate": 100, "resolution": 15.0},
    }


def test_the_write_part_of_an_answer_can_be_posted_back(present: NotedPort) -> None:
    write = present.client.get(PATH).json()["1"]["writeRateLimit"]
    write["throttling"]["minRate"] = 250
    answer = post(present, json.dumps({"write": write}))
    assert answer.json()["2"]["writeRateLimit"] == write


def test_partitions_that_differ_keep_what_is_not_named(running: NotedPort) -> None:
    one, other = PRESENT, replace(PRESENT, write=replace(WRITE, ramp_up_ns=0))
    running.engine.settings = {1: one, 2: other}
    post(running, '{"write":{"limit":300}}')
    assert running.engine.settings == {
        1: replace(one, write=replace(WRITE, limit=300)),
        2: replace(other, write=replace(WRITE, limit=300, ramp_up_ns=0)),
    }


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/vnd.spring-boot.actuator.v3+json",
        "application/vnd.spring-boot.actuator.v2+json",
    ],
)
def test_the_documented_content_types_are_read(present: NotedPort, content_type: str) -> None:
    assert post(present, "{}", content_type).status_code == 200


# -- POST: what is refused ---

# Body, and the field that the error names.
UNREADABLE: dict[str, str | None] = {
    "": None,
    "[]": None,
    '"x"': None,
    "null": None,
    "5": None,
    "{{": None,
    '{"write":{"limit":400},}': None,
    "{} {}": None,
    "{}x": None,
    "// {}": None,
    "{'write':{}}": None,
    '{"write":{"limit":NaN}}': None,
    '{"write":{"rampUp":Infinity}}': None,
    "[" * 60_000: None,
    '{"write":{"limit":' + "9" * 5000 + "}}": None,
    # Unknown keys and doubles.
    '{"writes":{}}': "writes",
    '{"write":{"limits":400}}': "write.limits",
    '{"write":{"throttling":{"minimumlimit":400}}}': "write.throttling.minimumlimit",
    '{"request":{"legacy_vegas":{}}}': "request.legacy_vegas",
    '{"write":{"limit":400,"limit":400}}': "limit",
    '{"write":{},"write":{}}': "write",
    '{"write":{"throttling":{"minRate":1,"minimumLimit":1}}}': "write.throttling.minimumLimit",
    # Wrong types.
    '{"write":[]}': "write",
    '{"write":""}': "write",
    '{"write":5}': "write",
    '{"write":false}': "write",
    '{"write":{"limit":"abc"}}': "write.limit",
    '{"write":{"limit":"400"}}': "write.limit",
    '{"write":{"limit":400.7}}': "write.limit",
    '{"write":{"limit":400.0}}': "write.limit",
    '{"write":{"limit":1e3}}': "write.limit",
    '{"write":{"limit":true}}': "write.limit",
    '{"write":{"limit":null}}': "write.limit",
    '{"write":{"limit":3000000000}}': "write.limit",
    '{"write":{"enabled":"yes"}}': "write.enabled",
    '{"write":{"enabled":"true"}}': "write.enabled",
    '{"write":{"enabled":1}}': "write.enabled",
    '{"write":{"enabled":null}}': "write.enabled",
    '{"write":{"rampUp":null}}': "write.rampUp",
    '{"write":{"rampUp":""}}': "write.rampUp",
    '{"write":{"rampUp":"ten"}}': "write.rampUp",
    '{"write":{"rampUp":true}}': "write.rampUp",
    '{"write":{"rampUp":[10]}}': "write.rampUp",
    '{"write":{"rampUp":1e400}}': "write.rampUp",
    '{"write":{"throttling":null}}': "write.throttling",
    '{"write":{"throttling":{"resolution":"15 sec"}}}': "write.throttling.resolution",
    '{"write":{"throttling":{"algorithm":"pid"}}}': "write.throttling.algorithm",
    '{"request":{"algorithm":"tcp"}}': "request.algorithm",
    '{"request":{"algorithm":null}}': "request.algorithm",
    '{"request":{"algorithm":3}}': "request.algorithm",
    '{"request":{"algorithm":"legacyVegas"}}': "request.algorithm",
    '{"request":{"algorithm":"legacy-vegas"}}': "request.algorithm",
    '{"request":{"aimd":null}}': "request.aimd",
    '{"request":{"aimd":{"backoffRatio":"0.9"}}}': "request.aimd.backoffRatio",
    '{"request":{"aimd":{"backoffRatio":1e400}}}': "request.aimd.backoffRatio",
    # A wrong type is told before a broken bound, wherever both stand.
    '{"write":{"limit":0,"enabled":1}}': "write.enabled",
    '{"write":{"throttling":{"resolution":0},"limit":"x"}}': "write.limit",
}
OUT_OF_BOUND: dict[str, str] = {
    '{"write":{"enabled":true,"limit":0}}': "write.limit",
    '{"write":{"limit":-1}}': "write.limit",
    '{"write":{"rampUp":-1}}': "write.rampUp",
    '{"write":{"rampUp":"-PT1S"}}': "write.rampUp",
    '{"write":{"throttling":{"resolution":0}}}': "write.throttling.resolution",
    '{"write":{"throttling":{"resolution":"-1s"}}}': "write.throttling.resolution",
    '{"write":{"throttling":{"minimumLimit":2501}}}': "write.throttling.minimumLimit",
    '{"write":{"limit":199}}': "write.throttling.minimumLimit",
    '{"write":{"throttling":{"minimumLimit":-1}}}': "write.throttling.minimumLimit",
    '{"write":{"throttling":{"acceptableBacklog":-1}}}': "write.throttling.acceptableBacklog",
    '{"request":{"aimd":{"backoffRatio":0.1}}}': "request.aimd.backoffRatio",
    '{"request":{"aimd":{"backoffRatio":1}}}': "request.aimd.backoffRatio",
    '{"request":{"aimd":{"initialLimit":0}}}': "request.aimd.initialLimit",
    '{"request":{"aimd":{"requestTimeout":"PT0S"}}}': "request.aimd.requestTimeout",
    '{"request":{"fixed":{"limit":0}}}': "request.fixed.limit",
    '{"request":{"vegas":{"alpha":0}}}': "request.vegas.alpha",
    '{"request":{"gradient":{"rttTolerance":0.9}}}': "request.gradient.rttTolerance",
    '{"request":{"gradient2":{"longWindow":0}}}': "request.gradient2.longWindow",
    '{"request":{"legacyVegas":{"maxConcurrency":1}}}': "request.legacyVegas.maxConcurrency",
    # The good part is not applied either.
    '{"write":{"limit":3000},"request":{"fixed":{"limit":0}}}': "request.fixed.limit",
}
REFUSED = [(body, 400, field) for body, field in UNREADABLE.items()] + [
    (body, 500, field) for body, field in OUT_OF_BOUND.items()
]


@pytest.mark.parametrize(("body", "status", "field"), REFUSED, ids=[f"{s}-{b[:70]}" for b, s, _ in REFUSED])
def test_a_post_that_cannot_stand_changes_nothing_and_says_which_field(
    present: NotedPort, body: str, status: int, field: str | None
) -> None:
    answer = post(present, body)
    said = answer.json()
    assert (answer.status_code, said["field"]) == (status, field)
    assert list(said) == ["error", "field"]
    assert said["error"]
    assert "\n" not in said["error"]
    assert "Traceback" not in answer.text
    assert present.engine.applied == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"write":{"limit":0}}', "write.limit must be greater than 0 when the write limit is enabled, not 0"),
        ('{"write":{"limit":"400"}}', 'write.limit must be a whole number, not "400"'),
        ('{"write":{"limits":1}}', "there is no key 'write.limits'; did you mean 'limit'?"),
        ('{"write":{"limit":1,"limit":2}}', 'the key "limit" occurs twice'),
        ("{} {}", "the body is not JSON: extra data at line 1, column 4"),
        ("[]", "the body must be a JSON object, not []"),
        ('{"a\\ud800b": 1}', "a text in the body holds half a surrogate pair"),
        ('{"write": {"rampUp": "\\udfff"}}', "a text in the body holds half a surrogate pair"),
        (
            '{"write":{"rampUp":"ten"}}',
            'write.rampUp must be a duration such as "15s", "PT15S" or 15, not "ten"',
        ),
        (
            '{"write":{"throttling":{"minRate":9999}}}',
            "write.throttling.minimumLimit must not exceed limit (2500), not 9999",
        ),
    ],
)
def test_an_error_is_one_sentence_with_the_place_the_rule_and_the_value(
    present: NotedPort, body: str, sentence: str
) -> None:
    assert post(present, body).json()["error"] == sentence


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_another_content_type_is_415(present: NotedPort, content_type: str) -> None:
    answer = post(present, '{"write":{"limit":3000}}', content_type)
    assert (answer.status_code, list(answer.json())) == (415, ["error", "field"])
    assert present.engine.applied == []


def test_a_body_without_a_content_type_is_415(present: NotedPort) -> None:
    assert present.client.post(PATH, content=b"{}").status_code == 415


def test_a_body_that_is_too_long_is_413(present: NotedPort) -> None:
    answer = post(present, b" " * (BODY_BYTES_MAX - 2) + b"{}")
    assert answer.status_code == 200
    answer = post(present, b" " * (BODY_BYTES_MAX - 1) + b"{}")
    assert answer.status_code == 413
    assert present.engine.applied == []


def test_a_body_that_is_no_utf_8_is_400(present: NotedPort) -> None:
    answer = post(present, b'{"write":"\xff"}')
    assert (answer.status_code, answer.json()["error"]) == (400, "the body is not UTF-8")


def test_an_unknown_query_parameter_is_400_and_changes_nothing(present: NotedPort) -> None:
    answer = present.client.post(f"{PATH}?tll=15m", json={"write": {"limit": 3000}})
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "there is no query parameter 'tll'; there is ttl", "field": "tll"},
    )
    assert present.engine.applied == []


def test_another_method_is_405_in_the_shape_of_the_endpoint(present: NotedPort) -> None:
    answer = present.client.delete(PATH)
    assert answer.status_code == 405
    assert answer.json() == {
        "error": "DELETE is not possible here; possible are GET, HEAD, POST",
        "field": None,
    }


def test_a_bound_that_only_one_partition_breaks_stops_the_change_of_all(running: NotedPort) -> None:
    other = replace(PRESENT, write=replace(WRITE, throttling=replace(WRITE.throttling, minimum_limit=2000)))
    running.engine.settings = {1: PRESENT, 2: other}
    answer = post(running, '{"write":{"limit":1000}}')
    assert (answer.status_code, answer.json()["field"]) == (500, "write.throttling.minimumLimit")
    assert running.engine.applied == []


def test_an_engine_that_refuses_is_500_with_its_sentence(port: OpenPort) -> None:
    port.engine.settings = {1: PRESENT}
    port.engine.apply_error = PenstockError("partition 2 is stopping")
    answer = post(port, '{"write":{"limit":3000}}')
    assert (answer.status_code, answer.json()) == (500, {"error": "partition 2 is stopping", "field": None})


def test_an_engine_that_breaks_is_500_without_a_trace(port: OpenPort, caplog: pytest.LogCaptureFixture) -> None:
    port.engine.settings = {1: PRESENT}
    port.engine.apply_error = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR):
        answer = post(port, '{"write":{"limit":3000}}')
    assert (answer.status_code, answer.json()["field"]) == (500, None)
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


class PausingEngine(FakeEngine):
    """Holds the first who asks for the settings until a second asks too, or a while has passed."""

    def __init__(self) -> None:
        super().__init__(settings={1: PRESENT})
        self.asked = Semaphore(0)
        self.first = Lock()

    def flow_settings(self) -> Mapping[int, FlowControlSettings]:
        present = super().flow_settings()
        if self.first.acquire(blocking=False):
            self.asked.acquire(timeout=0.3)
        else:
            self.asked.release()
        return present


def test_of_two_posts_at_once_both_count() -> None:
    bodies = ['{"request":{"vegas":{"initialLimit":77}}}', '{"request":{"gradient":{"initialLimit":77}}}']
    with open_port(PausingEngine()) as port, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda body: post(port, body), bodies))
    assert [answer.status_code for answer in answers] == [200, 200]
    request = port.engine.settings[1].request
    assert (request.vegas.initial_limit, request.gradient.initial_limit) == (77, 77)


# -- reading, for any body ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["write", "request", "enabled", "limit", "rampUp", "throttling", "resolution", "aimd", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def outcome(body: bytes, *, merge_patch: bool = False) -> FlowControlSettings | FaultyError:
    try:
        return read_change(body, merge_patch=merge_patch).applied(PRESENT, FlowControlSettings())
    except FaultyError as error:
        return error


@given(JSON, st.booleans())
def test_any_json_is_a_change_or_a_refusal_in_one_sentence_a_fault(document: object, merge_patch: bool) -> None:
    match outcome(json.dumps(document).encode(), merge_patch=merge_patch):
        case FaultyError() as refusal:
            for fault in refusal.faults:
                assert fault.text
                assert "\n" not in fault.text
            assert len({fault.refused for fault in refusal.faults}) == 1
        case changed:
            assert isinstance(changed, FlowControlSettings)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_change_or_unreadable(body: bytes) -> None:
    match outcome(body):
        case FaultyError() as refusal:
            assert not refusal.faults[0].refused
        case changed:
            assert changed == PRESENT
