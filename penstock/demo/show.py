"""The run of a demo, from the first frame to the summary."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from engine import SystemClock
from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot
from exporter.management import ManagementServer
from penstock.cli.another_port import another_port
from penstock.demo.readings import readings
from penstock.demo.script import PHASES, flow_control, scaled
from penstock.demo.stage import Stage
from penstock.demo.tally import Tally
from penstock.demo.timeline import Timeline
from penstock.demo.views import Lines, View, live_screen

FAST = 0.25
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FRAME_SECONDS = 0.5
# Rates are those of the last seconds: long enough to be steady, short enough to be felt.
_RATES_OVER_NS = 2 * NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What was asked for on the command line."""

    # None takes a fresh folder, and removes it at the end.
    data: Path | None = None
    host: str = "127.0.0.1"
    port: int = 9600
    allowed_hosts: tuple[str, ...] = ()
    fast: bool = False
    loop: bool = False
    # In any case not longer than this; the script is repeated up to then.
    seconds: float | None = None
    live: bool = True
    open_browser: bool = False


def show_demo(settings: DemoSettings, console: Console) -> str:
    """Runs the demo until its script is over or a signal comes; the answer is the summary. For the main thread."""
    factor = FAST if settings.fast else 1.0
    with ExitStack() as stack:
        ending = stack.enter_context(_told_to_end())
        folder = settings.data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-demo-", ignore_cleanup_errors=True))
        )
        stage = Stage(folder, flow_control(factor))
        server = stack.enter_context(_server(settings, stage))
        view: View = (
            stack.enter_context(live_screen(console, server.url)) if settings.live else _lines(console, server.url)
        )
        if settings.open_browser:
            webbrowser.open(server.url)
        clock = SystemClock()
        timeline = Timeline(
            scaled(PHASES, factor),
            clock,
            repeat=settings.loop or settings.seconds is not None,
            seconds=settings.seconds,
        )
        began = time.monotonic()
        tally = Tally()
        with stage.engine as engine:
            play(stage, timeline, view, tally, ending.wait)
            view.ending("ending: what is under way is finished first; Ctrl-C once more ends at once")
            stage.clear()
        last = engine.snapshot()
        tally.observe(last)
        fate = f"{folder}, kept" if settings.data else f"{folder}, removed"
        return tally.summary(last, time.monotonic() - began, fate)


def play(stage: Stage, timeline: Timeline, view: View, tally: Tally, wait: Callable[[float], bool]) -> None:
    """Frame after frame until the script is over, or `wait` says that it is enough."""
    engine = stage.engine
    snapshots: deque[EngineSnapshot] = deque([engine.snapshot()])
    while not wait(_FRAME_SECONDS):
        # A task that failed has ended the engine: this says why.
        engine.wait(0)
        now = engine.snapshot()
        tally.observe(now)
        snapshots.append(now)
        while len(snapshots) > 2 and now.taken_monotonic_ns - snapshots[1].taken_monotonic_ns >= _RATES_OVER_NS:
            snapshots.popleft()
        seen = readings(snapshots[0], now)
        moment = timeline.advance(throttled=bool(seen.throttled_partitions))
        if moment is None:
            return
        stage.set_up(moment.phase)
        view.show(seen, moment)


def _lines(console: Console, url: str) -> Lines:
    console.print(f"{url} shows what happens; Ctrl-C ends it", soft_wrap=True, highlight=False)
    return Lines(console)


@contextmanager
def _server(settings: DemoSettings, stage: Stage) -> Iterator[ManagementServer]:
    server = ManagementServer(
        stage.engine,
        host=settings.host,
        port=settings.port,
        allowed_hosts=settings.allowed_hosts,
        data=stage.engine.data_folder,
    )
    with another_port("--host and --port name"):
        server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets. The second time they end it here and now."""
    told = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if told.is_set():
            raise SystemExit(128 + number)
        told.set()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
