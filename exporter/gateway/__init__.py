"""The gateway: records into the log over HTTP, `POST /v1/records` on port 8600.

`server.GatewayServer` is the door; this module imports nothing, so that its settings cost no web server.
"""
