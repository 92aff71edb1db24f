"""Settings of the engine besides flow control."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.backpressure.settings import BackPressureSettings
from engine.core.clock import NS_PER_SECOND
from engine.core.errors import ConfigurationError
from engine.kafka.settings import KafkaLogSettings

# Where a partition's log lies: in files of this machine, in a Kafka cluster, or nowhere that outlives the process.
StorageKind = Literal["local", "kafka", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How the engine stores, batches and ends. Sizes are in records unless named otherwise."""

    # FULL survives a crash of the machine, NORMAL of the process only.
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    storage: StorageKind = "local"
    # Where the cluster is, for storage kafka.
    kafka: KafkaLogSettings | None = None
    # Values in one buffer between tasks; a source hands on what it has, and never waits to fill one.
    buffer_records: int = 500
    # Commands processed and records exported at a time.
    processing_batch_records: int = 1000
    export_batch_records: int = 1000
    outbox_records_max: int = 10_000
    drain_timeout_ns: int = 8 * NS_PER_SECOND
    # Below this, sources wait and the gateway refuses; below a quarter of it, processing waits too.
    free_space_bytes: int = 256 * 1024 * 1024
    # How many records stay in the log behind what everybody is done with; None keeps all.
    retained_records: int | None = 100_000
    # Without sources to end, or with a gateway, a run goes on until it is stopped.
    run_forever: bool = False
    back_pressure: BackPressureSettings = field(default_factory=BackPressureSettings)

    def __post_init__(self) -> None:
        if self.storage == "kafka" and self.kafka is None:
            raise ConfigurationError("storage kafka needs the address of a cluster")
        for name in (
            "buffer_records",
            "processing_batch_records",
            "export_batch_records",
            "outbox_records_max",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.retained_records is not None and self.retained_records < 0:
            raise ConfigurationError(f"retained_records must be 0 or more, not {self.retained_records}")
        if self.free_space_bytes < 0:
            raise ConfigurationError(f"free_space_bytes must be 0 or more, not {self.free_space_bytes}")
