"""How a command ends: an exit code, and on failure one line on stderr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

OK = 0
FAILED = 1
USAGE = 2
REJECTED = 3


class RunFailed(click.ClickException):
    """The run failed after it had begun; what was to be said of it is the message."""

    exit_code = FAILED


def ended(act: Callable[[], Any]) -> int:
    """Does `act` and gives the exit code; what was wrong is said in one line."""
    try:
        code = act()
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "penstock"
        return _said(f"{error.format_message()} (see {command} --help)", USAGE)
    except RunFailed as error:
        return _said(error.message, FAILED)
    except click.ClickException as error:
        return _said(error.format_message(), USAGE)
    except click.Abort:
        return _said("interrupted", FAILED)
    except Exception as error:
        # Here, because the help knows no errors of the engine's.
        from engine.core.errors import PenstockError

        if not isinstance(error, PenstockError):
            raise
        return _said(str(error), USAGE)
    return code if isinstance(code, int) else OK


def _said(sentence: str, code: int) -> int:
    click.echo(f"penstock: {' '.join(sentence.split())}", err=True)
    return code
