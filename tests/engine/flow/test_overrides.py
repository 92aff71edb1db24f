"""What is set by hand over the configured settings, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.flow.document import flow_control_document
from engine.flow.overrides import Override, SettingsInForce
from engine.flow.settings import FlowControlSettings, RequestLimitSettings, WriteLimitSettings

CONFIGURED = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=4000))
OTHER = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=2000))


def override(clock: ManualClock, ttl_s: int | None = None, settings: FlowControlSettings = OTHER) -> Override:
    now_ns = clock.wall_ns()
    until_ns = None if ttl_s is None else now_ns + ttl_s * NS_PER_SECOND
    return Override(settings=settings, since_wall_ns=now_ns, until_wall_ns=until_ns)


def test_an_override_holds_until_it_is_taken_away() -> None:
    clock = ManualClock()
    in_force = SettingsInForce(clock, CONFIGURED)
    in_force.put(override(clock))
    clock.advance(10**9)
    assert not in_force.is_over
    assert in_force.settings == OTHER
    in_force.put(None)
    assert (in_force.settings, in_force.override) == (CONFIGURED, None)


def test_the_time_of_an_override_is_over_on_the_monotonic_clock_however_the_wall_clock_jumps() -> None:
    for jump in (-3600, 0, 3600):
        clock = ManualClock()
        in_force = SettingsInForce(clock, CONFIGURED)
        in_force.put(override(clock, ttl_s=60))
        clock.jump_wall(jump)
        clock.advance(59.999)
        assert not in_force.is_over
        clock.advance(0.001)
        assert in_force.is_over


def test_setting_what_is_configured_is_no_override() -> None:
    clock = ManualClock()
    in_force = SettingsInForce(clock, CONFIGURED)
    in_force.put(override(clock))
    in_force.put(override(clock, ttl_s=60, settings=CONFIGURED))
    assert in_force.override is None
    clock.advance(60)
    assert not in_force.is_over


def test_an_override_of_an_earlier_run_goes_on_for_the_rest_of_its_time() -> None:
    clock = ManualClock()
    earlier = override(clock, ttl_s=60)
    clock.advance(45)
    in_force = SettingsInForce(clock, CONFIGURED)
    in_force.put(earlier)
    assert in_force.override == earlier
    clock.advance(15)
    assert in_force.is_over


def test_an_override_whose_time_was_over_before_the_start_is_not_put_into_force() -> None:
    clock = ManualClock()
    earlier = override(clock, ttl_s=60)
    clock.advance(60)
    in_force = SettingsInForce(clock, CONFIGURED)
    in_force.put(earlier)
    assert in_force.override is None


@given(st.lists(st.tuples(st.sampled_from([None, CONFIGURED, OTHER]), st.none() | st.integers(1, 50)), max_size=10))
def test_there_is_an_override_exactly_while_other_settings_are_in_force(
    changes: list[tuple[FlowControlSettings | None, int | None]],
) -> None:
    clock = ManualClock()
    in_force = SettingsInForce(clock, CONFIGURED)
    for settings, ttl_s in changes:
        in_force.put(None if settings is None else override(clock, ttl_s, settings))
        assert (in_force.override is not None) == (in_force.settings != CONFIGURED)
        assert not in_force.is_over
        clock.advance(7)


def test_a_document_has_the_documented_keys_and_durations_as_text() -> None:
    document = flow_control_document(CONFIGURED)
    assert list(document) == ["write", "request"]
    assert document["write"]["rampUp"] == "0s"
    assert document["write"]["throttling"]["resolution"] == "15s"
    assert document["request"]["aimd"]["requestTimeout"] == "200ms"
    assert document["request"]["legacyVegas"]["maxConcurrency"] == 32768
    assert document["request"]["algorithm"] == "aimd"
    assert flow_control_document(FlowControlSettings(request=RequestLimitSettings(enabled=True)))["write"] is None
