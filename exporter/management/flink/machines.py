"""Job manager and task manager: both are the process that answers."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence

from engine.core.snapshot import EngineSnapshot
from exporter.build import penstock_version, python_version
from exporter.management.flink.words import Json

# All subtasks live in this process.
TASK_MANAGER = "penstock"
_NO_RESOURCE: Json = {
    "cpuCores": 0.0,
    "taskHeapMemory": 0,
    "taskOffHeapMemory": 0,
    "managedMemory": 0,
    "networkMemory": 0,
    "extendedResources": {},
}
_MEMORY = (
    "frameworkHeap", "taskHeap", "frameworkOffHeap", "taskOffHeap", "networkMemory", "managedMemory", "jvmMetaspace",
    "jvmOverhead", "totalFlinkMemory", "totalProcessMemory",
)  # fmt: skip
# Flink's numbers of a Java heap; there is none.
_USED = (
    "heapUsed", "heapCommitted", "heapMax", "nonHeapUsed", "nonHeapCommitted", "nonHeapMax", "directCount",
    "directUsed", "directMax", "mappedCount", "mappedUsed", "mappedMax", "memorySegmentsAvailable",
    "memorySegmentsTotal", "nettyShuffleMemorySegmentsAvailable", "nettyShuffleMemorySegmentsUsed",
    "nettyShuffleMemorySegmentsTotal", "nettyShuffleMemoryAvailable", "nettyShuffleMemoryUsed",
    "nettyShuffleMemoryTotal",
)  # fmt: skip
LOG = "Penstock writes its log to standard error.\n"


def task_managers(snapshots: Sequence[EngineSnapshot]) -> Json:
    return {"taskmanagers": [_task_manager(snapshots)]}


def task_manager(snapshots: Sequence[EngineSnapshot]) -> Json:
    return {
        **_task_manager(snapshots),
        "allocatedSlots": [
            {"jobId": snapshot.job_id, "resource": _NO_RESOURCE} for snapshot in snapshots for _ in snapshot.tasks
        ],
        "metrics": {**dict.fromkeys(_USED, 0), "garbageCollectors": []},
    }


def metrics(snapshots: Sequence[EngineSnapshot], wanted: str | None) -> list[Json]:
    """Those that are true of this process; names alone where none is asked for."""
    values = {
        "Status.JVM.Threads.Count": threading.active_count(),
        "Status.JVM.CPU.Time": time.process_time_ns(),
        "numRegisteredTaskManagers": 1,
        "numRunningJobs": len(snapshots),
        "taskSlotsTotal": sum(len(snapshot.tasks) for snapshot in snapshots),
        "taskSlotsAvailable": 0,
    }
    if wanted is None:
        return [{"id": name} for name in values]
    return [{"id": name, "value": str(values[name])} for name in wanted.split(",") if name in values]


def config() -> list[Json]:
    return [
        {"key": "penstock.version", "value": penstock_version()},
        {"key": "python.version", "value": python_version()},
    ]


def environment() -> Json:
    """Of the process; its arguments and its environment may hold what nobody may read."""
    return {"jvm": {"version": f"Python {python_version()}", "arch": sys.platform, "options": []}, "classpath": []}


def _task_manager(snapshots: Sequence[EngineSnapshot]) -> Json:
    return {
        "id": TASK_MANAGER,
        "path": TASK_MANAGER,
        "dataPort": -1,
        "jmxPort": -1,
        "timeSinceLastHeartbeat": time.time_ns() // 1_000_000,
        "slotsNumber": sum(len(snapshot.tasks) for snapshot in snapshots),
        "freeSlots": 0,
        "totalResource": _NO_RESOURCE,
        "freeResource": _NO_RESOURCE,
        "hardware": {"cpuCores": os.cpu_count() or 1, "physicalMemory": 0, "freeMemory": 0, "managedMemory": 0},
        "memoryConfiguration": dict.fromkeys(_MEMORY, 0),
    }
