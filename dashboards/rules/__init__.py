"""Recording rules and alerts for Prometheus 2.42 and later."""

from dashboards.rules.alerts import ALERT_GROUPS
from dashboards.rules.document import written
from dashboards.rules.recording import RECORDING_GROUPS
from dashboards.rules.rule import Alert, Group, RecordingRule

__all__ = ["ALERT_GROUPS", "RECORDING_GROUPS", "Alert", "Group", "RecordingRule", "written"]
