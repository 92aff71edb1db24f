"""The libraries that our limiters follow, run beside them on the same calls. `make reference` fetches and compiles."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

BUILT = Path(__file__).parents[3] / ".reference"
WRITE_LIMITS = "com.google.common.util.concurrent.WriteLimits"
REQUEST_LIMITS = "penstock.reference.RequestLimits"


def answers(program: str, lines: Sequence[str]) -> list[int]:
    """What the library says to each line that asks. Skips the test where it cannot run."""
    java = shutil.which("java")
    if java is None or not (BUILT / "classes").is_dir():
        pytest.skip("the libraries that the limiters follow are not here: needs Java, Maven and `make reference`")
    ran = subprocess.run(
        [java, "-cp", f"{BUILT / 'classes'}:{BUILT / 'lib'}/*", program],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return [int(line) for line in ran.stdout.split()]
