"""The five boards. A board is what it shows; how panels are written down is none of its business."""

from dashboards.board import Board
from dashboards.boards import back_pressure, exporter_self, exporting, flow_control, overview

# In the order in which a reader goes through them.
BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    flow_control.BOARD,
    back_pressure.BOARD,
    exporting.BOARD,
    exporter_self.BOARD,
)

__all__ = ["BOARDS"]
