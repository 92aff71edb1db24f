"""Flow control as it is documented: each key in each spelling, each rule on each side of its bound."""

from dataclasses import asdict
from typing import Any

import pytest
import yaml

from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.flow.settings import (
    AimdSettings,
    FixedSettings,
    FlowControlSettings,
    Gradient2Settings,
    GradientSettings,
    LegacyVegasSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    ThrottlingAlgorithm,
    ThrottlingSettings,
    VegasSettings,
    WriteLimitSettings,
)
from tests.penstock.settings.conftest import Load

# Each documented key, a value that is not its default, and the same under the unified name where that differs.
KEYS: list[tuple[str, Any, str]] = [
    ("write.enabled", True, "write.enabled"),
    ("write.limit", 4000, "write.limit"),
    ("write.rampUp", "5s", "write.ramp-up"),
    ("write.throttling.enabled", True, "write.throttle.enabled"),
    ("write.throttling.acceptableBacklog", 300000, "write.throttle.acceptable-backlog"),
    ("write.throttling.minimumLimit", 700, "write.throttle.minimum-limit"),
    ("write.throttling.resolution", "30s", "write.throttle.resolution"),
    ("write.throttling.algorithm", "adaptive", "write.throttle.algorithm"),
    ("write.throttling.measurementWindow", "1m", "write.throttle.measurement-window"),
    ("write.throttling.measurementResolution", "2s", "write.throttle.measurement-resolution"),
    ("request.enabled", True, "request.enabled"),
    ("request.useWindowed", False, "request.windowed"),
    ("request.algorithm", "vegas", "request.algorithm"),
    ("request.aimd.requestTimeout", "5s", "request.aimd.request-timeout"),
    ("request.aimd.initialLimit", 15, "request.aimd.initial-limit"),
    ("request.aimd.minLimit", 5, "request.aimd.min-limit"),
    ("request.aimd.maxLimit", 150, "request.aimd.max-limit"),
    ("request.aimd.backoffRatio", 0.75, "request.aimd.backoff-ratio"),
    ("request.fixed.limit", 7, "request.fixed.limit"),
    ("request.vegas.alpha", 4, "request.vegas.alpha"),
    ("request.vegas.beta", 8, "request.vegas.beta"),
    ("request.vegas.initialLimit", 50, "request.vegas.initial-limit"),
    ("request.gradient.minLimit", 11, "request.gradient.min-limit"),
    ("request.gradient.initialLimit", 22, "request.gradient.initial-limit"),
    ("request.gradient.rttTolerance", 1.5, "request.gradient.rtt-tolerance"),
    ("request.gradient2.minLimit", 11, "request.gradient2.min-limit"),
    ("request.gradient2.initialLimit", 22, "request.gradient2.initial-limit"),
    ("request.gradient2.rttTolerance", 1.5, "request.gradient2.rtt-tolerance"),
    ("request.gradient2.longWindow", 300, "request.gradient2.long-window"),
    ("request.legacyVegas.initialLimit", 512, "request.legacy-vegas.initial-limit"),
    ("request.legacyVegas.maxConcurrency", 2048, "request.legacy-vegas.max-concurrency"),
    ("request.legacyVegas.alphaLimit", 0.5, "request.legacy-vegas.alpha-limit"),
    ("request.legacyVegas.betaLimit", 0.8, "request.legacy-vegas.beta-limit"),
    ("persistOverrides", True, "persist-overrides"),
]
# What all of KEYS together come to.
EVERYTHING = FlowControlSettings(
    persist_overrides=True,
    write=WriteLimitSettings(
        enabled=True,
        limit=4000,
        ramp_up_ns=5 * NS_PER_SECOND,
        throttling=ThrottlingSettings(
            enabled=True,
            acceptable_backlog=300000,
            minimum_limit=700,
            resolution_ns=30 * NS_PER_SECOND,
            algorithm=ThrottlingAlgorithm.ADAPTIVE,
            measurement_window_ns=60 * NS_PER_SECOND,
            measurement_resolution_ns=2 * NS_PER_SECOND,
        ),
    ),
    request=RequestLimitSettings(
        enabled=True,
        use_windowed=False,
        algorithm=RequestAlgorithm.VEGAS,
        aimd=AimdSettings(
            request_timeout_ns=5 * NS_PER_SECOND,
            initial_limit=15,
            min_limit=5,
            max_limit=150,
            backoff_ratio=0.75,
        ),
        fixed=FixedSettings(limit=7),
        vegas=VegasSettings(alpha=4, beta=8, initial_limit=50),
        gradient=GradientSettings(min_limit=11, initial_limit=22, rtt_tolerance=1.5),
        gradient2=Gradient2Settings(min_limit=11, initial_limit=22, rtt_tolerance=1.5, long_window=300),
        legacy_vegas=LegacyVegasSettings(initial_limit=512, max_concurrency=2048, alpha_limit=0.5, beta_limit=0.8),
    ),
)


def sections(pairs: list[tuple[str, Any]]) -> str:
    """Dotted keys and values as sections of YAML."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        *above, last = key.split(".")
        section = root
        for name in above:
            section = section.setdefault(name, {})
        section[last] = value
    return yaml.safe_dump(root)


def variables(prefix: str, pairs: list[tuple[str, Any]]) -> dict[str, str]:
    """Dotted keys and values as variables: capitals, hyphens dropped, dots as `_`."""
    return {prefix + key.replace("-", "").replace(".", "_").upper(): str(value).lower() for key, value in pairs}


CAMEL = [(key, value) for key, value, _ in KEYS]
UNIFIED = [(key, value) for _, value, key in KEYS]


def below(root: str, pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(f"{root}.{key}", value) for key, value in pairs]


@pytest.mark.parametrize(
    "text",
    [
        sections(below("flowControl", CAMEL)),
        sections(below("flow-control", [(key, value) for _, value, key in KEYS if "throttle" not in key][:3])),
        sections(below("zeebe.broker.flowControl", CAMEL)),
        sections(below("zeebe.broker.flow-control", CAMEL)),
        sections(below("camunda.processing.flow-control", UNIFIED)),
        sections(below("camunda.processing.flowControl", UNIFIED)),
        "".join(f"flowControl.{key}: {yaml.safe_dump(value)}" for key, value in CAMEL).replace("...\n", ""),
    ],
    ids=["ours", "ours-kebab-part", "zeebe", "zeebe-kebab", "unified", "unified-camel", "dotted"],
)
def test_each_spelling_of_a_file_means_the_same(load: Load, text: str) -> None:
    found = load(text).flow_control
    if "flow-control" in text and "camunda" not in text and "zeebe" not in text:
        assert found.write == WriteLimitSettings(enabled=True, limit=4000, ramp_up_ns=5 * NS_PER_SECOND)
    else:
        assert found == EVERYTHING


@pytest.mark.parametrize(
    "environment",
    [
        variables("PENSTOCK_FLOWCONTROL_", CAMEL),
        variables("ZEEBE_BROKER_FLOWCONTROL_", CAMEL),
        variables("CAMUNDA_PROCESSING_FLOWCONTROL_", UNIFIED),
    ],
    ids=["ours", "zeebe", "unified"],
)
def test_each_spelling_of_the_environment_means_the_same(load: Load, environment: dict[str, str]) -> None:
    assert load(environment=environment).flow_control == EVERYTHING


@pytest.mark.parametrize(("key", "value"), CAMEL)
def test_each_key_alone_changes_just_its_own_setting(load: Load, key: str, value: Any) -> None:
    # The limits that others must not exceed are given room.
    room = {"write.limit": 4000, "request.aimd.initialLimit": 100}
    needs_write = key.startswith("write.") and key != "write.limit"
    pairs = [(key, value)] + [("write.limit", room["write.limit"])] * needs_write
    if key == "request.aimd.minLimit":
        value = 5
    found = flat(asdict(load(sections(below("flowControl", pairs))).flow_control))
    default = flat(asdict(FlowControlSettings(write=WriteLimitSettings() if key.startswith("write") else None)))
    changed = {name for name in found if found[name] != default[name]} - ({"write.limit"} if needs_write else set())
    assert len(changed) == 1
    assert found[changed.pop()] == flat(asdict(EVERYTHING))[python_name(key)]


def flat(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= flat(inner, f"{above}{name}.")
        else:
            found[above + name] = inner
    return found


def python_name(key: str) -> str:
    """`write.rampUp` as the dataclass calls it."""
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
    return next(n for n in flat(asdict(EVERYTHING)) if n.removesuffix("_ns") == words)


def test_without_keys_everything_is_off_and_no_write_limit_is_configured(load: Load) -> None:
    found = load().flow_control
    assert found == FlowControlSettings()
    assert found.write is None
    assert not found.request.enabled


@pytest.mark.parametrize("text", ["flowControl:\n", "flowControl:\n  write:\n  request:\n"])
def test_an_empty_section_is_as_good_as_none(load: Load, text: str) -> None:
    assert load(text).flow_control == FlowControlSettings()


def test_the_documented_defaults_hold_for_an_enabled_limit(load: Load) -> None:
    write = load("flowControl: {write: {enabled: true, throttling: {enabled: true}}}").flow_control.write
    assert write is not None
    assert (write.limit, write.ramp_up_ns) == (1000, 0)
    assert write.throttling.acceptable_backlog == 100_000
    assert write.throttling.minimum_limit == 100
    assert write.throttling.resolution_ns == 15 * NS_PER_SECOND


def test_a_file_written_for_zeebe_works_unchanged(load: Load) -> None:
    settings = load(
        """
zeebe:
  broker:
    gateway:
      enable: true
      network:
        port: 26500
    network:
      host: 0.0.0.0
    data:
      directory: data
      logSegmentSize: 128MB
    cluster:
      partitionsCount: 3
    threads:
      cpuThreadCount: 2
    flowControl:
      request:
        enabled: true
        useWindowed: false
        algorithm: "aimd"
        aimd:
          requestTimeout: "200ms"
          initialLimit: 100
          minLimit: 1
          maxLimit: 1000
          backoffRatio: 0.9
        fixed:
          limit: 20
        vegas:
          alpha: 3
          beta: 6
          initialLimit: 20
        gradient:
          minLimit: 10
          initialLimit: 20
          rttTolerance: 2.0
        gradient2:
          minLimit: 10
          initialLimit: 20
          rttTolerance: 2.0
          longWindow: 600
      write:
        enabled: true
        limit: 4000
        rampUp: 0
        throttling:
          enabled: true
          acceptableBacklog: 100000
          minimumLimit: 100
          resolution: 15s
"""
    )
    assert settings.flow_control == FlowControlSettings(
        write=WriteLimitSettings(enabled=True, limit=4000, throttling=ThrottlingSettings(enabled=True)),
        request=RequestLimitSettings(enabled=True, use_windowed=False),
    )
    assert settings.warnings == (
        "only flow control is read below zeebe and camunda; ignored: zeebe.broker.gateway, "
        "zeebe.broker.network, zeebe.broker.data, zeebe.broker.cluster, zeebe.broker.threads",
    )


def test_siblings_in_the_environment_are_named_in_the_same_one_warning(load: Load) -> None:
    environment = {
        "ZEEBE_BROKER_NETWORK_HOST": "0.0.0.0",
        "ZEEBE_ADDRESS": "localhost:26500",
        "CAMUNDA_PROCESSING_FLOWCONTROL_WRITE_LIMIT": "2000",
        "ZEEBE_LOG_LEVEL": "debug",
    }
    settings = load("camunda: {database: {url: x}}\n", environment=environment)
    assert settings.flow_control.write == WriteLimitSettings(limit=2000)
    assert settings.warnings == (
        "only flow control is read below zeebe and camunda; ignored: camunda.database, "
        "ZEEBE_ADDRESS, ZEEBE_BROKER_NETWORK_HOST, ZEEBE_LOG_LEVEL",
    )


def test_the_double_underscore_of_the_documentation_is_read_as_one(load: Load) -> None:
    found = load(environment={"ZEEBE_BROKER_FLOWCONTROL__REQUEST_AIMD_MAXLIMIT": "1234"}).flow_control
    assert found.request.aimd.max_limit == 1234


def test_the_environment_wins_over_the_file_and_leaves_the_rest(load: Load) -> None:
    found = load(
        "flowControl: {write: {enabled: true, limit: 4000, rampUp: 2s}}",
        environment={"ZEEBE_BROKER_FLOWCONTROL_WRITE_LIMIT": "5000"},
    ).flow_control
    assert found.write == WriteLimitSettings(enabled=True, limit=5000, ramp_up_ns=2 * NS_PER_SECOND)


def test_our_own_keys_win_over_the_unified_and_those_over_the_older_ones(load: Load) -> None:
    ours, unified, older = (
        "flowControl.write.limit: 300\n",
        "camunda.processing.flow-control.write.limit: 200\n",
        "zeebe.broker.flowControl.write.limit: 100\n",
    )
    for text, limit in ((older, 100), (unified + older, 200), (ours + older + unified, 300)):
        write = load(text).flow_control.write
        assert write is not None
        assert write.limit == limit


LEGACY = "zeebe: {broker: {backpressure: {enabled: true, algorithm: fixed, fixed: {limit: 5}}}}\n"


def test_the_legacy_section_is_read_where_there_is_no_newer_one(load: Load) -> None:
    assert load(LEGACY).flow_control.request == RequestLimitSettings(
        enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=5)
    )
    environment = {"ZEEBE_BROKER_BACKPRESSURE_AIMD_REQUESTTIMEOUT": "1s"}
    assert load(environment=environment).flow_control.request.aimd.request_timeout_ns == NS_PER_SECOND


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("flowControl: {request: {useWindowed: false}}", {}),
        ("zeebe.broker.flowControl.request.useWindowed: false", {}),
        ("", {"ZEEBE_BROKER_FLOWCONTROL_REQUEST_USEWINDOWED": "false"}),
    ],
)
def test_a_newer_request_section_replaces_the_legacy_one_whole(
    load: Load, text: str, environment: dict[str, str]
) -> None:
    found = load(LEGACY + text, environment=environment).flow_control
    assert found.request == RequestLimitSettings(use_windowed=False)


def test_the_legacy_section_stands_beside_a_newer_write_section(load: Load) -> None:
    found = load(LEGACY + "flowControl: {write: {limit: 10}}").flow_control
    assert found.request.fixed.limit == 5
    assert found.write == WriteLimitSettings(limit=10)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("AIMD", "aimd"), ("Fixed", "fixed"), ("VEGAS", "vegas"), ("gradient", "gradient"),
        ("Gradient2", "gradient2"), ("LEGACY_VEGAS", "legacy_vegas"), ("legacy-vegas", "legacy_vegas"),
    ],
)  # fmt: skip
def test_algorithms_are_named_in_any_case(load: Load, written: str, meant: str) -> None:
    assert load(f"flowControl.request.algorithm: {written}").flow_control.request.algorithm == meant


@pytest.mark.parametrize(
    ("written", "ns"),
    [("15s", 15_000 * NS_PER_MS), ("500ms", 500 * NS_PER_MS), ("2m", 120_000 * NS_PER_MS),
     ("PT15S", 15_000 * NS_PER_MS), ("15", 15_000 * NS_PER_MS), ("0.5", 500 * NS_PER_MS)],
)  # fmt: skip
def test_durations_are_read_in_each_documented_form(load: Load, written: str, ns: int) -> None:
    text = f"flowControl: {{write: {{throttling: {{resolution: {written}}}}}}}"
    for write in (
        load(text).flow_control.write,
        load(environment={"PENSTOCK_FLOWCONTROL_WRITE_THROTTLING_RESOLUTION": written}).flow_control.write,
    ):
        assert write is not None
        assert write.throttling.resolution_ns == ns


# Key, values that hold, values that do not, and what is said of those. `write` is enabled and has room.
RULES: list[tuple[str, list[Any], list[Any], str]] = [
    ("write.limit", [100, 1_000_000], [0, -1], "must be greater than 0 when the write limit is enabled"),
    ("write.rampUp", [0, "1ms"], ["-1ms"], "must be 0 or longer"),
    ("write.throttling.acceptableBacklog", [0, 1], [-1], "must be 0 or more"),
    ("write.throttling.minimumLimit", [0, 999, 1000], [-1], "must be 0 or more"),
    ("write.throttling.minimumLimit", [1000], [1001], "must not exceed limit (1000)"),
    ("write.throttling.resolution", ["1ms"], [0, "-1s"], "must be longer than 0"),
    ("write.throttling.measurementWindow", ["10001ms"], ["10s", "1s"], "must be longer than measurementResolution"),
    ("write.throttling.measurementResolution", ["1ms", "299s"], [0, "-1s"], "must be longer than 0"),
    ("request.aimd.requestTimeout", ["1ms"], [0, "-1s"], "must be longer than 0"),
    ("request.aimd.initialLimit", [1, 1000], [0, 1001], "must lie between minLimit (1) and maxLimit (1000)"),
    ("request.aimd.minLimit", [1, 100], [0, -1], "must be greater than 0"),
    ("request.aimd.maxLimit", [100], [0], "must not be below minLimit (1)"),
    ("request.aimd.backoffRatio", [0.5, 0.999], [0.49, 1, 1.5], "must be at least 0.5 and below 1"),
    ("request.fixed.limit", [1], [0, -1], "must be greater than 0"),
    ("request.vegas.alpha", [1], [0], "must be greater than 0"),
    ("request.vegas.beta", [1], [0], "must be greater than 0"),
    ("request.vegas.initialLimit", [1], [0], "must be greater than 0"),
    ("request.gradient.minLimit", [1, 20], [0], "must be greater than 0"),
    ("request.gradient.initialLimit", [10], [9], "must not be below minLimit (10)"),
    ("request.gradient.rttTolerance", [1.0], [0.99], "must be at least 1"),
    ("request.gradient2.minLimit", [1, 20], [0], "must be greater than 0"),
    ("request.gradient2.initialLimit", [10], [9], "must not be below minLimit (10)"),
    ("request.gradient2.rttTolerance", [1.0], [0.99], "must be at least 1"),
    ("request.gradient2.longWindow", [1], [0], "must be greater than 0"),
    ("request.legacyVegas.initialLimit", [1, 32768], [0], "must be greater than 0"),
    ("request.legacyVegas.maxConcurrency", [1024], [1023], "must not be below initialLimit (1024)"),
    ("request.legacyVegas.alphaLimit", [0.01, 0.95], [0], "must be greater than 0"),
    ("request.legacyVegas.betaLimit", [0.7], [0.69], "must not be below alphaLimit (0.7)"),
]
ON = [("flowControl.write.enabled", True), ("flowControl.write.throttling.enabled", True)]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, good, _, _ in RULES for value in good])
def test_a_value_inside_its_bound_is_taken(load: Load, key: str, value: Any) -> None:
    load(sections([*ON, (f"flowControl.{key}", value)]))


@pytest.mark.parametrize(("key", "value", "rule"), [(key, value, rule) for key, _, bad, rule in RULES for value in bad])
def test_a_value_outside_its_bound_is_refused_with_key_rule_and_value(
    load: Load, key: str, value: Any, rule: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(sections([*ON, (f"flowControl.{key}", value)]))
    said = str(caught.value)
    assert f": flowControl.{key} {rule}" in said
    shown = {f", not {value}", f", not {value}.0", ", not 0s"}
    assert any(said.endswith(end) for end in shown)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("write.limit", "lots", "must be a whole number, not lots"),
        ("write.limit", 400.7, "must be a whole number, not 400.7"),
        ("write.limit", True, "must be a number, not true"),
        ("write.limit", None, "must be a whole number, not nothing"),
        ("write.enabled", "maybe", "must be true or false, not maybe"),
        ("write.rampUp", "soon", ": 'soon' is no duration"),
        ("write", 5, "must be a section of keys, not 5"),
        ("write", [1], "must be a section of keys, not a list"),
        ("request.algorithm", "aimed", "must be one of aimd, fixed, vegas, gradient, gradient2, legacy_vegas, not"),
        ("request.aimd.backoffRatio", "high", "must be a number, not high"),
        ("request.aimd.backoffRatio", float("nan"), "must be a finite number, not nan"),
        ("write.throttling.algorithm", "pid", "must be one of proportional, adaptive, not pid"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_plain_words(load: Load, key: str, value: Any, rule: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(sections([(f"flowControl.{key}", value)]))
    assert f"settings.yaml:{5 + key.count('.')}: flowControl.{key}" in str(caught.value)
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    ("root", "written", "nearest"),
    [
        ("flowControl", "write.limt", "flowControl.write.limit"),
        ("flowControl", "wriet.limit", "flowControl.write"),
        ("flowControl", "write.throttle.enabled", "flowControl.write.throttling"),
        ("flowControl", "request.aimd.maximumLimit", "flowControl.request.aimd.maxLimit"),
        ("zeebe.broker.flowControl", "write.throttling.minimumLimits", "flowControl.write.throttling.minimumLimit"),
        ("camunda.processing.flow-control", "request.aimd.request-timeouts", "flowControl.request.aimd.requestTimeout"),
    ],
)
def test_an_unknown_key_of_flow_control_names_the_nearest(load: Load, root: str, written: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"is no known key; did you mean {nearest}\?") as caught:
        load(sections([(f"{root}.{written}", 1)]))
    # In the words of the file, not in ours.
    assert f": {root}." in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PENSTOCK_FLOWCONTROL_WRITE_LIMIT", "lots", "PENSTOCK_FLOWCONTROL_WRITE_LIMIT must be a whole number"),
        ("ZEEBE_BROKER_FLOWCONTROL_WRITE_RAMPUP", "-1s", "ZEEBE_BROKER_FLOWCONTROL_WRITE_RAMPUP must be 0 or longer"),
        ("PENSTOCK_FLOWCONTROL_WRITE_LIMITS", "1", "did you mean PENSTOCK_FLOWCONTROL_WRITE_LIMIT?"),
        ("ZEEBE_BROKER_FLOWCONTROL_WRITE_LIMITS", "1", "is no known variable"),
        ("PENSTOCK_FLOWCONTROL_REQUEST_AIMD_MAXLIMIT", "50", "flowControl.request.aimd.initialLimit must lie between"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_names_the_variable(load: Load, name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(environment={name: value})
    assert str(caught.value).startswith(said if said.startswith("flow") else name)
    assert said in str(caught.value)


def test_a_default_that_breaks_a_rule_is_said_where_the_section_stands(load: Load) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"settings\.yaml:8: flowControl\.write\.throttling\.minimumLimit must not exceed limit \(50\), not 100$",
    ):
        load("flowControl:\n  write:\n    enabled: true\n    limit: 50\n    throttling: {enabled: true}\n")


def test_the_same_key_in_two_spellings_is_a_mistake(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"sets again what .*settings\.yaml:4: flowControl\.write\.limit has"):
        load("flowControl: {write: {limit: 5}}\nflow-control.write.limit: 6\n")
