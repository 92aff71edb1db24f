"""The sections around the pipeline, and the ways in which a file can be unreadable."""

import re
from pathlib import Path

import pytest

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.options import EngineOptions
from exporter.otlp import OtlpSettings, TraceSettings
from penstock.settings import (
    BackPressureMode,
    BackPressureSettings,
    LoggingSettings,
    ManagementSettings,
    load_settings,
)
from tests.penstock.settings.conftest import PIPELINE, Load


def test_data_and_engine_become_the_options_of_the_engine(load: Load) -> None:
    settings = load(
        "data: {path: store, synchronous: normal, storage: memory, freeSpace: 1GB}\n"
        "engine: {bufferRecords: 10, processingBatchRecords: 30, exportBatchRecords: 40,"
        " outboxRecords: 50, drainTimeout: 6s}\n"
    )
    assert settings.options == EngineOptions(
        synchronous="NORMAL",
        storage="memory",
        free_space_bytes=1024**3,
        buffer_records=10,
        processing_batch_records=30,
        export_batch_records=40,
        outbox_records_max=50,
        drain_timeout_ns=6 * NS_PER_SECOND,
    )


def test_without_keys_the_options_are_the_engines_own_defaults(load: Load) -> None:
    assert load().options == EngineOptions()
    assert load().back_pressure == BackPressureSettings()
    assert load().management == ManagementSettings(enabled=True, host="127.0.0.1", port=9600)
    assert load().logging == LoggingSettings(format="text", level="info")
    assert load().warnings == ()


@pytest.mark.parametrize(
    ("written", "size"),
    [("256MB", 256 * 1024**2), ("2GB", 2 * 1024**3), ("1 KiB", 1024), ("1000", 1000), ("5b", 5), ("0", 0)],
)
def test_sizes_are_read_in_each_form(load: Load, written: str, size: int) -> None:
    assert load(f"data: {{freeSpace: {written}}}").options.free_space_bytes == size


BACK_PRESSURE = BackPressureSettings(
    mode=BackPressureMode.ON_DEMAND,
    num_samples=20,
    delay_between_samples_ns=10 * NS_PER_MS,
    refresh_interval_ns=5 * NS_PER_SECOND,
    cleanup_interval_ns=90 * NS_PER_SECOND,
)
KEYS = {
    "mode": "on-demand",
    "num-samples": 20,
    "delay-between-samples": 10,
    "refresh-interval": 5000,
    "cleanup-interval": 90000,
}


@pytest.mark.parametrize("root", ["web.backpressure", "jobmanager.web.backpressure"])
def test_back_pressure_is_read_under_the_documented_and_the_older_keys(load: Load, root: str) -> None:
    text = "".join(f"{root}.{key}: {value}\n" for key, value in KEYS.items())
    assert load(text).back_pressure == BACK_PRESSURE


def test_back_pressure_is_read_in_sections_and_from_the_environment(load: Load) -> None:
    inner = "".join(f"    {key}: {value}\n" for key, value in KEYS.items())
    assert load(f"web:\n  backpressure:\n{inner}").back_pressure == BACK_PRESSURE
    environment = {f"PENSTOCK_WEB_BACKPRESSURE_{k.replace('-', '').upper()}": str(v) for k, v in KEYS.items()}
    assert load(environment=environment).back_pressure == BACK_PRESSURE


def test_the_newer_key_of_back_pressure_wins_over_the_older(load: Load) -> None:
    for text in (
        "web.backpressure.num-samples: 7\njobmanager.web.backpressure.num-samples: 8\n",
        "jobmanager.web.backpressure.num-samples: 8\nweb.backpressure.num-samples: 7\n",
    ):
        assert load(text).back_pressure.num_samples == 7


@pytest.mark.parametrize(
    ("written", "ns"), [("60000", 60 * NS_PER_SECOND), ("60 s", 60 * NS_PER_SECOND), ("250ms", 250 * NS_PER_MS)]
)
def test_plain_numbers_of_back_pressure_are_milliseconds_as_documented(load: Load, written: str, ns: int) -> None:
    assert load(f"web.backpressure.refresh-interval: {written}").back_pressure.refresh_interval_ns == ns


@pytest.mark.parametrize(
    ("key", "good", "bad", "rule"),
    [
        ("num-samples", 1, 0, "must be at least 1"),
        ("delay-between-samples", 1, 0, "must be longer than 0"),
        ("refresh-interval", 0, -1, "must be 0 or longer"),
        ("cleanup-interval", 0, -1, "must be 0 or longer"),
        ("mode", "CONTINUOUS", "sometimes", "must be one of continuous, on-demand"),
    ],
)
def test_each_rule_of_back_pressure_holds_on_each_side_of_its_bound(
    load: Load, key: str, good: object, bad: object, rule: str
) -> None:
    load(f"web.backpressure.{key}: {good}")
    with pytest.raises(ConfigurationError, match=f"settings.yaml:4: web.backpressure.{key} {rule}, not "):
        load(f"web.backpressure.{key}: {bad}")


def test_management_and_logging_are_read(load: Load) -> None:
    settings = load(
        "management: {enabled: false, host: 0.0.0.0, port: 0, hosts: [penstock.example],\n"
        "  webConfig: web.yml, access: {alice: change}}\n"
        "logging: {format: JSON, level: Debug}\n"
    )
    assert settings.management == ManagementSettings(
        enabled=False,
        host="0.0.0.0",
        port=0,
        hosts=("penstock.example",),
        web_config=settings.file.parent / "web.yml",
        access={"alice": "change"},
    )
    assert settings.logging == LoggingSettings(format="json", level="debug")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("management: {port: 65536}", "management.port must be at most 65535, not 65536"),
        ("management: {port: -1}", "management.port must be at least 0, not -1"),
        ("management: {ports: 1}", "management.ports is no known key; did you mean management.port?"),
        ("logging: {level: loud}", "logging.level must be one of debug, info, warning, error, not loud"),
        ("logging: loud", "logging must be a section of keys, not loud"),
        ("engine: {bufferRecords: 0}", "engine.bufferRecords must be at least 1, not 0"),
        ("engine: {drainTimeout: -1s}", "engine.drainTimeout must be 0 or longer, not -1s"),
        ("data: {synchronous: sometimes}", "data.synchronous must be one of FULL, NORMAL, not SOMETIMES"),
        ("data: {freeSpace: -1}", "data.freeSpace must be a size like 256MB, 2GB or a number of bytes, not -1"),
        ("data: {freeSpace: plenty}", "data.freeSpace must be a size like 256MB, 2GB or a number of bytes, not plenty"),
        ("quux: 1", "quux is no known key; known here are pipeline, "),
    ],
)
def test_a_mistake_beside_the_pipeline_is_one_line_with_its_place(load: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    assert f"settings.yaml:4: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "settings.yaml is empty; it needs at least the key pipeline"),
        ("# nothing\n", "settings.yaml is empty; it needs at least the key pipeline"),
        ("- a\n", "settings.yaml:1: a file of settings begins with keys"),
        ("pipeline: [a\n", "settings.yaml:2:1: not readable as YAML: "),
        ("pipeline:\n\tname: x\n", "settings.yaml:2:1: not readable as YAML: found character '\\t'"),
        ("a: 1\n---\nb: 2\n", "settings.yaml:2:1: not readable as YAML: "),
        ("pipeline: !!python/object:os.system {}\n", "settings.yaml:1:11: not readable as YAML: "),
        ("pipeline: {}\ndata: x\npipeline: {}\n", "settings.yaml:3: pipeline stands here and on line 1"),
        ("pipeline: &all {inner: *all}\n", "settings.yaml:1: pipeline.inner contains itself"),
        ("? [a]\n: 1\n", "settings.yaml:1: a key must be text"),
        ("a: \x00\n", "settings.yaml: not readable as YAML: "),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"settings\.yaml: no such file or directory"):
        load_settings(tmp_path / "settings.yaml", {})
    with pytest.raises(ConfigurationError, match="is a directory"):
        load_settings(tmp_path, {})
    (tmp_path / "settings.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text: byte 3"):
        load_settings(tmp_path / "settings.yaml", {})


def test_merged_sections_of_yaml_are_read(load: Load) -> None:
    settings = load(
        pipeline="pipeline: {name: x, sources: {a: &a {lines: {path: input.txt}}, b: {<<: *a, onError: stop}}}\n"
    )
    assert [(s.name, s.on_error) for s in settings.pipeline.sources] == [("a", "reject"), ("b", "stop")]


@pytest.mark.parametrize(
    "environment",
    [
        {"PENSTOCK_PORT": "tcp://10.0.0.1:9600", "PENSTOCK_PORT_9600_TCP_ADDR": "10.0.0.1"},
        {"PENSTOCK_SERVICE_HOST": "10.0.0.1", "PENSTOCK_SERVICE_PORT": "9600"},
        {"PENSTOCK_SERVICE_PORT_MANAGEMENT": "9600", "PENSTOCK_PORT_9600_TCP": "tcp://10.0.0.1:9600"},
        {"PENSTOCK_MANAGEMENT_PORT": "tcp://10.0.0.1:9600", "PENSTOCK_MANAGEMENT_SERVICE_HOST": "10.0.0.1"},
    ],
)
def test_what_kubernetes_puts_beside_a_service_of_that_name_is_not_ours(
    load: Load, environment: dict[str, str]
) -> None:
    assert load(environment=environment).management == ManagementSettings()


def test_a_port_in_the_environment_is_ours(load: Load) -> None:
    assert load(environment={"PENSTOCK_MANAGEMENT_PORT": "9700"}).management.port == 9700


def test_an_unknown_variable_of_ours_is_an_error_that_names_the_nearest(load: Load) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"^PENSTOCK_LOGGING_LEVELS is no known variable; did you mean PENSTOCK_LOGGING_LEVEL\?$",
    ):
        load(environment={"PENSTOCK_LOGGING_LEVELS": "info"})


def test_a_value_where_a_section_must_stand_is_a_mistake_whichever_comes_first(load: Load) -> None:
    for environment in (
        {"PENSTOCK_FLOWCONTROL": "5", "PENSTOCK_FLOWCONTROL_WRITE_LIMIT": "5"},
        {"PENSTOCK_FLOWCONTROL_WRITE": "5"},
    ):
        with pytest.raises(ConfigurationError, match="must be a section of keys"):
            load(environment=environment)


def test_all_variables_are_over_the_file_and_other_variables_are_left_alone(load: Load) -> None:
    settings = load("logging: {level: error}", environment={"PENSTOCK_LOGGING_LEVEL": "debug", "PATH": "/bin"})
    assert settings.logging.level == "debug"
    assert PIPELINE.startswith("pipeline:")


def test_a_push_is_off_until_it_has_an_endpoint(load: Load) -> None:
    assert load("otlp: {interval: 30s}").otlp is None
    pushed = load(
        "otlp:\n  endpoint: http://collector:4318\n  interval: 30s\n  timeout: 5s\n"
        "  compression: none\n  headers: {authorization: secret}\n"
    ).otlp
    assert pushed == OtlpSettings(
        endpoint="http://collector:4318",
        interval_ns=30 * NS_PER_SECOND,
        timeout_ns=5 * NS_PER_SECOND,
        compression="none",
        headers={"authorization": "secret"},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoint: collector", "otlp.endpoint must be a URL such as http://collector:4318, not 'collector'"),
        ("endpoint: http://a, interval: 500ms", "otlp.interval must be at least 1s, not 0.5s"),
        ('endpoint: http://a, headers: {a: "s\\n"}', "otlp.headers.a must be printable ASCII, not what stands there"),
    ],
)
def test_a_push_that_cannot_be_is_said_with_its_place(load: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        load(f"otlp: {{{text}}}")


def test_traces_are_off_until_they_are_enabled_and_share_what_is_said_of_the_collector(load: Load) -> None:
    plain = load("otlp: {endpoint: http://collector:4318}")
    assert plain.traces is None
    assert plain.pipeline.observer is None
    traced = load(
        "otlp:\n  endpoint: http://collector:4318\n  timeout: 5s\n  compression: none\n"
        "  headers: {authorization: secret}\n  traces: {enabled: true, ratio: 0.5, queueSpans: 9}\n"
    )
    assert traced.pipeline.observer is not None
    assert traced.traces == TraceSettings(
        endpoint="http://collector:4318",
        timeout_ns=5 * NS_PER_SECOND,
        compression="none",
        headers={"authorization": "secret"},
        ratio=0.5,
        queue_spans=9,
    )
    assert load("otlp: {endpoint: http://a, traces: {ratio: 0.5}}").traces is None
    assert load("otlp: {traces: {endpoint: http://a, enabled: false}}").traces is None


def test_who_is_scraped_may_still_push_spans(load: Load) -> None:
    settings = load(environment={"PENSTOCK_OTLP_TRACES_ENDPOINT": "http://jaeger:4318"})
    assert settings.otlp is None
    assert settings.traces == TraceSettings(endpoint="http://jaeger:4318")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("traces: {enabled: true}", "otlp.traces.endpoint is missing, and otlp.endpoint too"),
        (
            "endpoint: http://a, traces: {enabled: true, ratio: 2}",
            "otlp.traces.ratio must lie between 0 and 1, not 2.0",
        ),
        (
            "endpoint: http://a, traces: {enabled: true, queueSpans: 0}",
            "otlp.traces.queueSpans must be at least 1, not 0",
        ),
        ("endpoint: http://a, traces: {endpoint: b}", "otlp.traces.endpoint must be a URL such as"),
        ("endpoint: b, traces: {enabled: true}", "otlp.endpoint must be a URL such as"),
        ("endpoint: http://a, timeout: 0, traces: {enabled: true}", "otlp.timeout must be longer than 0"),
        ("endpoint: http://a, traces: {ration: 1}", "did you mean"),
    ],
)
def test_tracing_that_cannot_be_is_said_with_its_place(load: Load, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        load(f"otlp: {{{text}}}")


@pytest.mark.parametrize(("written", "meant"), [("5000", 5000), ("0", 0), ("all", None), ("ALL", None), ("'7'", 7)])
def test_retained_records_are_a_number_or_all(load: Load, written: str, meant: int | None) -> None:
    assert load(f"data: {{retainedRecords: {written}}}\n").options.retained_records == meant
    assert load().options.retained_records == 100_000


@pytest.mark.parametrize("written", ["-1", "some", "1.5", "true"])
def test_retained_records_are_nothing_else(load: Load, written: str) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.retainedRecords must be a whole number of records, or all"):
        load(f"data: {{retainedRecords: {written}}}\n")
