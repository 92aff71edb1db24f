"""Names that stay: job and vertex ids, and which partition a key belongs to."""

from __future__ import annotations

import hashlib
from zlib import crc32


def stable_id(*names: str) -> str:
    """32 hex digits that depend on the names alone, so that links survive a restart."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]


def partition_of(key: str, partitions: int) -> int:
    """The partition (from 1) that owns `key`; the same in every process and on every run."""
    return crc32(key.encode()) % partitions + 1
