"""`python -m benchmarks [NAME …]`: runs the named benchmarks, or all, and prints their tables."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    *("flights", "append", "restart", "control", "gate", "hammer", "throttled", "sampler", "workers", "scrape"),
    *("gateway",),
)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        print(importlib.import_module(f"benchmarks.{name}").main(), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
