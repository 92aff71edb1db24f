"""The demo: a month of flights, again and again, while an exporter and a task get slow on cue."""
