"""Which format and encoding an answer takes."""

from __future__ import annotations

import pytest

from exporter.prometheus.formats import Format, accepts_gzip, negotiate

OM, TEXT = Format.OPEN_METRICS, Format.TEXT
# What Prometheus 2.42 and 3 send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("image/png", TEXT),
        (PROMETHEUS_2, OM),
        (PROMETHEUS_3, OM),
        ("application/openmetrics-text", OM),
        ("APPLICATION/OpenMetrics-Text; Version=1.0.0", OM),
        ("application/*", OM),
        ("text/*", TEXT),
        # The quality decides, not the order.
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", TEXT),
        ("text/plain;q=0.4,application/openmetrics-text;q=0.5", OM),
        ("text/plain;q=0.4, */*;q=0.5", OM),
        # Equal quality: the format named more closely, then the one named first.
        ("*/*,application/openmetrics-text", OM),
        ("text/*,application/openmetrics-text", OM),
        ("text/plain,application/openmetrics-text", TEXT),
        ("application/openmetrics-text,text/plain", OM),
        # A closer range overrides a wider one, also when it forbids.
        ("application/openmetrics-text;q=0,*/*", TEXT),
        ("text/plain;q=0,*/*;q=0.1", OM),
        ("application/openmetrics-text;q=0", TEXT),
        ("text/plain;q=0,application/openmetrics-text;q=0", TEXT),
        # Versions: a later OpenMetrics is answered with 1.0.0, an older one is not.
        ("application/openmetrics-text;version=9.0.0", OM),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=x", TEXT),
        ("text/plain;version=0.0.4,application/openmetrics-text;version=0.0.1", TEXT),
        ('application/openmetrics-text;version="1.0.0"', OM),
        # Nonsense counts as unwelcome, never as an error.
        ("application/openmetrics-text;q=abc,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=7,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=nan,text/plain;q=0.1", TEXT),
        (",,;;q=,", TEXT),
    ],
)
def test_the_format_is_the_one_the_client_would_rather_have(accept: str, chosen: Format) -> None:
    assert negotiate(accept)[0] is chosen


def test_the_content_type_names_the_version_served_whatever_was_asked() -> None:
    assert negotiate("application/openmetrics-text;version=9.0.0")[1] == OM.value
    assert "version=1.0.0" in OM.value
    assert "version=0.0.4" in TEXT.value


def test_the_content_type_names_an_escaping_only_to_who_speaks_of_it() -> None:
    assert negotiate(PROMETHEUS_3)[1] == f"{OM.value}; escaping=underscores"
    assert negotiate(PROMETHEUS_2)[1] == OM.value


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=0.5, identity", False),
        ("gzip, identity;q=0.5", True),
        ("gzip;q=nonsense", False),
    ],
)
def test_gzip_is_used_only_where_it_is_welcome(accept_encoding: str, accepted: bool) -> None:
    assert accepts_gzip(accept_encoding) is accepted
