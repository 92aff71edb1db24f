"""The stage: the pipeline of the demo, and the hands that make parts of it slow."""

from __future__ import annotations

from pathlib import Path

from engine import Clock, EngineOptions, FlowControlSettings, Pipeline, RecordFilter, SystemClock
from penstock.demo.example import flights_example
from penstock.demo.pace import Pace, Speed
from penstock.demo.recent_lines import recent_lines
from penstock.demo.replay import Replay
from penstock.demo.script import EXPORTER, FLIGHTS_PER_SECOND, Phase
from penstock.demo.slow_step import SlowStep

PARTITIONS = 2


class Stage:
    """Holds the engine, which whoever made the stage starts and stops. `set_up` and `clear` are for any thread."""

    def __init__(self, data: Path, flow_control: FlowControlSettings, *, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        example = flights_example()
        self._parse = Speed()
        self._exporter = Speed()
        out = data / "out"
        pipeline = (
            Pipeline("flights", partitions=PARTITIONS)
            .source("flights", Replay(example.data, Pace(Speed(FLIGHTS_PER_SECOND), clock)))
            .map("parse", SlowStep(example.parse, Pace(self._parse, clock)))
            .process(example.processor, key="origin")
            .export(EXPORTER, recent_lines(out, self._exporter, clock))
            .export(
                "summaries",
                recent_lines(out, Speed(), clock),
                filter=RecordFilter(value_types=frozenset({"summary"})),
            )
        )
        pipeline.value_type = "flight"
        options = EngineOptions(
            # A demo need not survive a crash of the machine, and a laptop's disk is spared.
            synchronous="NORMAL",
            # So few that a slow exporter still acknowledges five times a second.
            export_batch_records=50,
            run_forever=True,
        )
        self.engine = pipeline.run(data, flow_control=flow_control, options=options)

    def set_up(self, phase: Phase) -> None:
        """Makes the world what `phase` says."""
        self._parse.per_second = phase.parse_speed
        self._exporter.per_second = phase.exporter_speed

    def clear(self) -> None:
        """Lets everything go as fast as it can, so that the engine ends soon."""
        self._parse.per_second = self._exporter.per_second = None
