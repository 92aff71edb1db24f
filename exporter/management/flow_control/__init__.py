"""The limits over HTTP: the documented `/actuator/flowControl`, and `/api/flow-control` for what it lacks."""
