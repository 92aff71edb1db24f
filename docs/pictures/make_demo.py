"""Makes demo.svg: the live view of `penstock demo --fast`, some seconds into the throttling. Takes half a minute.

python docs/pictures/make_demo.py
"""

from __future__ import annotations

import io
import re
import tempfile
import threading
from pathlib import Path

from rich.console import Console

from engine import SystemClock
from penstock.demo.readings import Readings
from penstock.demo.screen import Screen
from penstock.demo.script import PHASES, flow_control, scaled
from penstock.demo.show import FAST, play
from penstock.demo.stage import Stage
from penstock.demo.tally import Tally
from penstock.demo.timeline import Moment, Timeline

WIDTH = 100
TARGET = Path(__file__).with_name("demo.svg")


class Photographer:
    """A view that keeps the last frame of the throttled phase while the exporter is still slow."""

    def __init__(self) -> None:
        self.frame: Screen | None = None
        self.done = threading.Event()

    def show(self, now: Readings, moment: Moment) -> None:
        if moment.phase.name == "throttled" and moment.phase.sentence.startswith("Half"):
            self.frame = Screen(now=now, moment=moment, url="http://127.0.0.1:9600")
        elif self.frame is not None:
            self.done.set()

    def ending(self, text: str) -> None:
        pass


def main() -> None:
    photographer = Photographer()
    phases = scaled(PHASES, FAST)
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), flow_control(FAST))
        with stage.engine:
            play(stage, Timeline(phases, SystemClock()), photographer, Tally(), photographer.done.wait)
            stage.clear()
    assert photographer.frame is not None, "the throttled phase was seen"
    console = Console(record=True, width=WIDTH, height=24, file=io.StringIO(), force_terminal=True)
    console.print(photographer.frame)
    svg = console.export_svg(title="penstock demo", unique_id="penstock-demo")
    # Whoever opens the picture must not load a font from somewhere.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    TARGET.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
