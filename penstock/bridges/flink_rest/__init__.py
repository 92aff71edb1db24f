"""Apache Flink, seen over its REST API."""
