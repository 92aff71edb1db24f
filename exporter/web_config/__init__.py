"""The web configuration file: TLS, headers and users of our ports, in the shape that Prometheus' exporters share."""

from exporter.web_config.access import Access, Right
from exporter.web_config.config import WebConfig
from exporter.web_config.users import Known

__all__ = ["Access", "Known", "Right", "WebConfig"]
