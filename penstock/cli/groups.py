"""Groups of commands: each command is named with the whole of its sentence, and loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Longer than any sentence: the help wraps them, it cuts none.
_WHOLE = 1_000


class Group(click.Group):
    """A group whose help says what each of its commands is for without cutting it."""

    def sentence(self, context: click.Context, name: str) -> str:
        """What the command `name` is for, the first sentence of its help."""
        command = self.get_command(context, name)
        assert command is not None, "it is one of those that are listed"
        return command.get_short_help_str(limit=_WHOLE)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.sentence(ctx, name)) for name in self.list_commands(ctx)])


class LazyGroup(Group):
    """A group of commands that are modules of a package, of which the help needs to load none.

    `run` is `run` of the module `run`, `flow-control` is `flow_control` of the module `flow_control`.
    """

    def __init__(self, *args: Any, package: str, sentences: Mapping[str, str], **kwargs: Any) -> None:
        """`sentences` has the commands in the order of the help, each with the first sentence of its own."""
        super().__init__(*args, **kwargs)
        self._package = package
        self._sentences = sentences

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._sentences)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._sentences:
            return None
        module = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{self._package}.{module}"), module)
        return command

    def sentence(self, context: click.Context, name: str) -> str:
        return self._sentences[name]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=sentence)
            for name, sentence in self._sentences.items()
            if name.startswith(incomplete)
        ]
        # Of the group itself its options alone are left to be told.
        return commands + click.Command.shell_complete(self, ctx, incomplete)
