"""Boards as Grafana reads them, by way of grafanalib, and what has to be corrected in what that writes.

grafanalib writes for Grafana 5 to 8 and knows some panels only as plug-ins that are gone. Whatever is wrong or
missing for Grafana 12 and 13 is put right in this folder and nowhere else.
"""

from dashboards.grafana.document import dashboard, written

__all__ = ["dashboard", "written"]
