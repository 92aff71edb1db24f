"""How cost grows with size: partitions, tasks, series, batches, records, the log, exporters, workers."""
