"""The labels of all metrics. Configuration or a closed list bounds their values, never the data."""

from __future__ import annotations

from engine.core.snapshot import BlockReason, EngineState, ExporterState, Outcome, PartitionState, VertexKind
from exporter.catalogue.metric import Label
from exporter.door import Condition, WriteSource

# Upper ends of the levels `ok` and `low`, as Flink draws them; what lies above is `high`.
BACK_PRESSURE_OK_MAX = 0.10
BACK_PRESSURE_LOW_MAX = 0.5
BACK_PRESSURE_LEVELS = ("ok", "low", "high")

# Whom to blame when the write limit itself, not an exporter, holds writers back.
FLOW_CONTROL_TASK = "flow-control"

# Whom to blame in another engine when no task of it can be: the network, or something behind its last task.
OUTSIDE_TASK = "outside"

COLLECTORS = (
    "engine",
    "flow_control",
    "log",
    "exporting",
    "tasks",
    "sources",
    "gateway",
    "kafka",
    "instances",
    "bridges",
)

PIPELINE = Label(name="pipeline", bound="configuration: the name of the pipeline")
PARTITION = Label(name="partition", bound="configuration: `partitions`, numbered from 1")
EXPORTER = Label(name="exporter", bound="configuration: the names under `exporters`")
TASK = Label(name="task", bound="configuration: one for each source, transform, processor and exporter")
CULPRIT = Label(name="task", bound="configuration: the tasks, and `flow-control` (through a bridge: `outside`)")
WAITED_FOR = Label(name="by", bound="configuration: the tasks that a task hands on to")
SUBTASK = Label(name="subtask", bound="configuration: the parallelism of the task, numbered from 0")
VERTEX = Label(name="vertex_id", bound="configuration: one for each task")

WORKER = Label(name="worker", bound="configuration: `workers`, numbered from 1")

SOURCE = Label(name="source", bound="closed", values=tuple(WriteSource))
OUTCOME = Label(name="outcome", bound="closed", values=tuple(Outcome))
BLOCK_REASON = Label(name="reason", bound="closed", values=tuple(BlockReason))
LEVEL = Label(name="level", bound="closed", values=BACK_PRESSURE_LEVELS)
BASIS = Label(name="basis", bound="closed", values=("stack", "transitions", "discarded"))
ACTION = Label(name="action", bound="closed", values=("exported", "skipped"))
EXPORTER_STATE = Label(name="state", bound="closed", values=tuple(ExporterState))
CONDITION = Label(name="condition", bound="closed", values=tuple(Condition))
ENGINE_STATE = Label(name="state", bound="closed", values=tuple(EngineState))
PARTITION_STATE = Label(name="state", bound="closed", values=tuple(PartitionState))
KIND = Label(name="kind", bound="closed", values=tuple(VertexKind))
PUSH_OUTCOMES = ("success", "failure", "skipped")
SPAN_OUTCOMES = ("success", "failure", "dropped")
SPAN_OUTCOME = Label(name="outcome", bound="closed", values=SPAN_OUTCOMES)
PUSH_OUTCOME = Label(name="outcome", bound="closed", values=PUSH_OUTCOMES)
# Every status with which the gateway answers.
GATEWAY_CODES = (200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 507)
CODE = Label(name="code", bound="closed", values=tuple(map(str, GATEWAY_CODES)))
COLLECTOR = Label(name="collector", bound="closed", values=COLLECTORS)

BROKER = Label(name="broker", bound="the cluster: the numbers of its brokers")
TRANSACTION_OUTCOME = Label(name="outcome", bound="closed", values=("committed", "aborted", "unknown"))
FENCED_REASON = Label(name="reason", bound="closed", values=("taken_over", "timeout"))
REBALANCE_REASON = Label(name="reason", bound="closed", values=("joined", "left", "lost"))
FORWARD_OUTCOME = Label(name="outcome", bound="closed", values=("accepted", "refused", "failed"))
CONFIGURATION_HASH = Label(name="hash", bound="the configuration: one value a run")
REJECTION_REASON = Label(name="reason", bound="the engine: its short list of ways to reject, never a text")
FAILURE_REASON = Label(name="reason", bound="the engine: its short list of ways to fail, never a text")

BY = Label(name="by", bound="the users of the management port who may change something; empty where nobody is known")

BRIDGE = Label(name="bridge", bound="closed", values=("flink", "process", "zeebe"))
ORIGIN_ID = Label(name="id", bound="the other engine: one a pipeline")
ORIGIN_VERSION = Label(name="version", bound="the other engine: one value")
LOOK_ERRORS = ("unreachable", "timeout", "refused", "status", "malformed", "too_large")
LOOK_ERROR = Label(name="reason", bound="closed", values=LOOK_ERRORS)
ORIGIN_STATE = Label(name="state", bound="the other engine: its short list of states")

VERSION = Label(name="version", bound="the build: one value")
PYTHON_VERSION = Label(name="python_version", bound="the build: one value")
GIL = Label(name="gil", bound="the build: one value")
