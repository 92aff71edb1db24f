"""The boards: five of all pipelines, and one for each kind of bridge.

A board is what it shows; how panels are written down is none of its business.
"""

from dashboards.board import Board
from dashboards.boards import back_pressure, bridged, exporter_self, exporting, flow_control, overview

# In the order in which a reader goes through them.
BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    flow_control.BOARD,
    back_pressure.BOARD,
    exporting.BOARD,
    exporter_self.BOARD,
    bridged.FLINK,
    bridged.PROCESS,
    bridged.ZEEBE,
)

__all__ = ["BOARDS"]
