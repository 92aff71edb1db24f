"""`penstock flow-control` against a management port that is really open.

Before a running engine, in one process and over two workers; before a stand-in where that must fail or be counted.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from threading import Semaphore

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.flow.settings import FlowControlSettings, ThrottlingSettings, WriteLimitSettings
from penstock.cli.flow_control import merge_patch
from penstock.cli.management_client import ManagementClient
from tests.support.commands import penstock
from tests.support.management import OpenPort, open_port
from tests.support.surfaces import WORKERS, WORKERS_IDS, NotedPort, noted_port
from tests.support.waiting import WAIT_SECONDS

WRITE = WriteLimitSettings(enabled=True, limit=4000, throttling=ThrottlingSettings(enabled=True))
CONFIGURED = FlowControlSettings(write=WRITE)


@pytest.fixture
def port() -> Iterator[OpenPort]:
    with open_port() as opened:
        opened.engine.configured = CONFIGURED
        opened.engine.settings = {1: CONFIGURED, 2: CONFIGURED}
        yield opened


@pytest.fixture(scope="module", params=WORKERS, ids=WORKERS_IDS)
def shared_running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotedPort]:
    folder = tmp_path_factory.mktemp("data")
    with noted_port(folder, workers=request.param, configured=CONFIGURED) as running:
        yield running


@pytest.fixture
def running(shared_running: NotedPort) -> NotedPort:
    shared_running.engine.as_new()
    return shared_running


def flow_control(port: OpenPort | NotedPort, *arguments: str) -> tuple[int, str, str]:
    return penstock("flow-control", *arguments, "--url", port.server.url)


def with_limit(limit: int) -> FlowControlSettings:
    return replace(CONFIGURED, write=replace(WRITE, limit=limit))


# -- get ---


def test_get_shows_a_row_for_each_partition_and_the_reason(port: OpenPort) -> None:
    told = port.engine.told
    first, second = told.partitions[:2]
    throttled = replace(
        first,
        backlog_records=120_000,
        flow=replace(
            first.flow, throttled=True, write_limit_per_second=1500.0, write_limit_max_per_second=4000.0, reason="so"
        ),
    )
    port.engine.told = replace(told, partitions=(throttled, second))
    code, out, err = flow_control(port, "get")
    assert (code, err) == (0, "")
    heading, row, *_ = out.splitlines()
    assert heading.split()[:4] == ["partition", "limit/s", "of", "backlog"]
    assert row.split()[:4] == ["1", "1,500", "4,000", "120,000"]
    assert "throttled" in row
    assert "1: so" in out


def test_what_was_set_by_hand_is_told_with_the_configured_value(running: NotedPort) -> None:
    assert flow_control(running, "set", "write.limit=2000", "--partition", "2", "--ttl", "15m")[0] == 0
    _, out, _ = flow_control(running, "get")
    assert "2: set by hand at " in out
    assert "2:   write.limit 2000, configured 4000" in out
    assert "1: set by hand" not in out


def test_get_can_be_json_and_of_one_partition(running: NotedPort) -> None:
    _, out, _ = flow_control(running, "get", "--json", "--partition", "2")
    answer = json.loads(out)
    assert list(answer["partitions"]) == ["2"]
    assert answer["configured"]["write"]["limit"] == 4000


def test_get_before_the_start_says_so(port: OpenPort) -> None:
    port.engine.settings = {}
    assert flow_control(port, "get")[1] == "the pipeline has not started yet\n"


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_watch_looks_again_until_ctrl_c(port: OpenPort, arguments: list[str]) -> None:
    command = ["flow-control", "get", "--watch", "--every", "0.1", "--url", port.server.url, *arguments]
    asked = Semaphore(0)
    port.engine.flow_settings = Asked(port.engine.flow_settings, asked)  # type: ignore[method-assign]
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        # A look asks the engine a few times; so many are several looks.
        for _ in range(10):
            assert asked.acquire(timeout=WAIT_SECONDS)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.count("4000" if arguments else "partition ") >= 2


class Asked:
    """Does what the call does, and counts it."""

    def __init__(self, call: Callable[[], Mapping[int, FlowControlSettings]], asked: Semaphore) -> None:
        self._call = call
        self._asked = asked

    def __call__(self) -> Mapping[int, FlowControlSettings]:
        self._asked.release()
        return self._call()


# -- set and revert ---


def test_set_changes_and_tells_what_was(running: NotedPort) -> None:
    code, out, err = flow_control(running, "set", "write.limit=2000", "write.throttling.resolution=5s")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [
        "partition 1: write.limit is now 2000, was 4000",
        "partition 1: write.throttling.resolution is now 5s, was 15s",
    ]
    throttling = replace(WRITE.throttling, resolution_ns=5 * NS_PER_SECOND)
    wanted = FlowControlSettings(write=replace(WRITE, limit=2000, throttling=throttling))
    assert running.engine.applied == [({1: wanted, 2: wanted}, None)]


def test_set_for_a_time_tells_until_when(running: NotedPort) -> None:
    _, out, _ = flow_control(running, "set", "write.limit=2000", "--ttl", "15m", "--partition", "1")
    assert running.engine.applied == [({1: with_limit(2000)}, 900 * NS_PER_SECOND)]
    assert out.startswith("partition 1: write.limit is now 2000, was 4000, until ")


def test_a_dry_run_says_what_would_change_and_changes_nothing(running: NotedPort) -> None:
    _, out, _ = flow_control(running, "set", "write.enabled=false", "--dry-run", "--partition", "2")
    assert out == "partition 2: write.enabled would become false, was true\n"
    _, out, _ = flow_control(running, "set", "write.limit=4000", "--dry-run", "--partition", "2")
    assert out == "partition 2: nothing would change\n"
    _, out, _ = flow_control(running, "revert", "--dry-run", "--partition", "2")
    assert out == "partition 2: nothing would change\n"
    assert (running.engine.applied, running.engine.reverted) == ([], [])


def test_revert_brings_the_configured_limits_back(running: NotedPort) -> None:
    flow_control(running, "set", "write.limit=2000")
    code, out, _ = flow_control(running, "revert", "--partition", "1")
    assert (code, out) == (0, "partition 1: write.limit is now 4000, was 2000\n")
    assert running.engine.settings == {1: CONFIGURED, 2: with_limit(2000)}
    assert json.loads(flow_control(running, "revert", "--json")[1])["changes"]["2"][0]["to"] == 4000


def test_all_that_is_wrong_is_one_line_and_exit_code_2(running: NotedPort) -> None:
    code, out, err = flow_control(running, "set", "write.limits=1", "write.rampUp=soon")
    assert (code, out) == (2, "")
    assert err == (
        "penstock: there is no key 'write.limits'; did you mean 'limit'?; write.rampUp must be a duration such as "
        '"15s", "PT15S" or 15, not "soon"\n'
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set"], "Missing argument 'KEY=VALUE...'"),
        (["set", "write.limit"], "'write.limit' must be a key and a value, such as write.limit=2000"),
        (["set", "=5"], "'=5' must be a key and a value"),
        (["set", "write..limit=5"], "'write..limit=5' must be a key and a value"),
        (["set", "write.limit=5", "write.limit=6"], "write.limit is set twice"),
        (["set", "write=null", "write.limit=6"], "write.limit: write is set to a value already"),
        (["set", "write.limit=5", "--ttl", "soon"], "ttl must be a duration longer than 0, such as 15m, not 'soon'"),
        (["get", "--partition", "7"], "there is no partition 7; there are 1, 2"),
        (["get", "--partition", "0"], "0 is not in the range x>=1"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(running: NotedPort, arguments: list[str], said: str) -> None:
    code, out, err = flow_control(running, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert running.engine.applied == []


def test_values_are_json_and_everything_else_is_text() -> None:
    assert merge_patch(("a.b=1", "a.c=true", "a.d=null", "e=5s", "f=1.5", 'g="1"', "h=")) == {
        "a": {"b": 1, "c": True, "d": None},
        "e": "5s",
        "f": 1.5,
        "g": "1",
        "h": "",
    }


# -- the port at the other end ---


def test_a_port_that_nobody_opened_is_one_line_and_exit_code_1() -> None:
    with open_port() as port:
        url = port.server.url
    code, out, err = penstock("flow-control", "get", "--url", url)
    assert (code, out) == (1, "")
    assert err == f"penstock: {url} does not answer: connection refused; is the pipeline running?\n"


@pytest.mark.parametrize("url", ["localhost:9600", "ftp://x", "http://", "http://x:port", "http://[1"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    code, _, err = penstock("flow-control", "get", "--url", url)
    assert code == 2
    assert "--url" in err
    assert err.count("\n") == 1


def test_another_server_is_not_taken_for_penstock(running: NotedPort) -> None:
    code, _, err = penstock("flow-control", "get", "--url", f"{running.server.url}/elsewhere")
    assert code == 2
    assert "there is nothing at /elsewhere/api/flow-control" in err


def test_an_engine_that_fails_is_exit_code_1(port: OpenPort) -> None:
    port.engine.apply_error = ConfigurationError("the disk is full")
    assert flow_control(port, "set", "write.limit=500") == (1, "", "penstock: the disk is full\n")


def test_a_user_in_the_address_is_told_to_the_port_and_to_nobody_else() -> None:
    client = ManagementClient("https://alice:p%40ss@example.org:9600/base/")
    assert client._headers["Authorization"] == "Basic YWxpY2U6cEBzcw=="
    assert client._base == "https://example.org:9600/base"
