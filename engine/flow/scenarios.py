"""The scenarios by which throttles are compared: an hour each, loads in records per second."""

from __future__ import annotations

from engine.flow.plant import Scenario, alternating, steps

STEADY = Scenario(name="steady", offered=steps((0, 4000)), capacity=steps((0, 1000)))
DEGRADED = Scenario(name="degraded", offered=steps((0, 3000)), capacity=steps((0, 3500), (600, 800)), last_change=600)
OUTAGE = Scenario(
    name="outage", offered=steps((0, 2000)), capacity=steps((0, 2500), (600, 0), (900, 2500)), last_change=900
)
OVERLOAD_OUTAGE = Scenario(
    name="overload outage",
    offered=steps((0, 4000)),
    capacity=steps((0, 2500), (900, 0), (1200, 2500)),
    last_change=1200,
)
SAW_TOOTH = Scenario(name="saw-tooth", offered=steps((0, 4000)), capacity=alternating(300, 700, 1500), last_change=3300)
IDLE = Scenario(name="idle", offered=steps((0, 4000), (900, 0)), capacity=steps((0, 1000)), last_change=900)
RESTART = Scenario(
    name="restart",
    offered=steps((0, 4000)),
    capacity=steps((0, 1000)),
    restarts=frozenset({1200}),
    last_change=1200,
)

SCENARIOS = (STEADY, DEGRADED, OUTAGE, OVERLOAD_OUTAGE, SAW_TOOTH, IDLE, RESTART)
