"""Runs the `penstock` command in this process."""

from __future__ import annotations

import contextlib
import io

from penstock.cli.ending import ended
from penstock.cli.main import commands


def penstock(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = ended(lambda: commands.main([*arguments], prog_name="penstock", standalone_mode=False))
    return code, out.getvalue(), err.getvalue()
