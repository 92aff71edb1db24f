"""Dashboards, recording rules and alerts as code, made from the catalogue of metrics.

Boards are described in `dashboards.boards` in the words of the catalogue; `dashboards.grafana` writes them down
as Grafana reads them; `dashboards.rules` does the same for Prometheus. `dashboards.build` puts the files into
`dashboards/generated`, which is committed: nobody needs this package to use them.
"""
