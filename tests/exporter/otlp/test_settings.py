"""Where pushes go, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from engine.core.errors import SettingError
from exporter.otlp import OtlpSettings, TraceSettings


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/metrics"),
        ("http://collector:4318/", "http://collector:4318/v1/metrics"),
        ("https://[::1]/otlp/v1/metrics", "https://[::1]/otlp/v1/metrics"),
        ("http://prometheus:9090/api/v1/otlp/v1/metrics", "http://prometheus:9090/api/v1/otlp/v1/metrics"),
    ],
)
def test_the_standard_path_is_added_where_there_is_none(endpoint: str, url: str) -> None:
    assert OtlpSettings(endpoint=endpoint).url == url


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"endpoint": "collector:4318"}, "endpoint must be a URL such as http://collector:4318, not 'collector:4318'"),
        ({"endpoint": "http://"}, "endpoint must be a URL"),
        ({"endpoint": "http://a:99999"}, "endpoint must be a URL"),
        ({"endpoint": " http://a"}, "endpoint must be a URL"),
        ({"interval_ns": 1}, "interval must be at least 1s, not 1e-09s"),
        ({"timeout_ns": 0}, "timeout must be longer than 0, not 0.0s"),
        ({"headers": {"a b": "c"}}, "headers must have names that HTTP allows, not 'a b'"),
        ({"headers": {"authorization": "secret\r\nx: y"}}, "headers.authorization must be printable ASCII"),
    ],
)
def test_what_cannot_be_is_refused_and_secrets_are_not_told(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError) as raised:
        OtlpSettings(**{"endpoint": "http://collector:4318", **changes})  # type: ignore[arg-type]
    assert str(raised.value).startswith(sentence)
    assert "secret" not in str(raised.value)


def test_headers_do_not_show_in_a_log() -> None:
    assert "secret" not in repr(OtlpSettings(endpoint="http://a", headers={"authorization": "secret"}))
    assert "secret" not in repr(TraceSettings(endpoint="http://a", headers={"authorization": "secret"}))


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://[::1]/otlp/v1/metrics", "https://[::1]/otlp/v1/traces"),
        ("http://jaeger:4318/somewhere/else", "http://jaeger:4318/somewhere/else"),
    ],
)
def test_spans_go_to_the_same_collector_under_their_own_path(endpoint: str, url: str) -> None:
    assert TraceSettings(endpoint=endpoint).url == url


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"endpoint": "collector:4318"}, "endpoint must be a URL such as http://collector:4318"),
        ({"ratio": 1.5}, "ratio must lie between 0 and 1, not 1.5"),
        ({"ratio": -0.1}, "ratio must lie between 0 and 1, not -0.1"),
        ({"ratio": float("nan")}, "ratio must lie between 0 and 1, not nan"),
        ({"queue_spans": 0}, "queueSpans must be at least 1, not 0"),
        ({"timeout_ns": 0}, "timeout must be longer than 0"),
        ({"headers": {"a b": "c"}}, "headers must have names that HTTP allows"),
    ],
)
def test_tracing_that_cannot_be_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError) as raised:
        TraceSettings(**{"endpoint": "http://collector:4318", **changes})  # type: ignore[arg-type]
    assert str(raised.value).startswith(sentence)
