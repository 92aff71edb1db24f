"""Where things can be found: the boards by uid, the pages of the runbooks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class BoardUid(StrEnum):
    """The address of each board under `/d/`. They never change: bookmarks and alerts hold them."""

    OVERVIEW = "penstock-overview"
    FLOW_CONTROL = "penstock-flow-control"
    BACK_PRESSURE = "penstock-back-pressure"
    EXPORTING = "penstock-exporting"
    EXPORTER_SELF = "penstock-exporter-self"
    FLINK = "penstock-flink"
    PROCESS = "penstock-process"
    ZEEBE = "penstock-zeebe"


# By these tags the boards find one another: those of all pipelines, and those of one kind of bridge.
TAG = "penstock"
BRIDGES_TAG = "penstock-bridges"

RUNBOOKS = Path("docs/runbooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What alerts put in front of the addresses they carry."""

    # The root of Grafana, as a reader of the alert reaches it.
    grafana: str = "http://127.0.0.1:3000"
    # The folder of the runbooks; a path in this repository unless they are served somewhere.
    runbooks: str = RUNBOOKS.as_posix()


# Those of the compose demo.
DEFAULT_PLACES = Places()
