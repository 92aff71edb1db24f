"""The `penstock` command. Each command is a module beside this one."""

from penstock.cli.main import main

__all__ = ["main"]
