"""`penstock completion`: what a shell needs to complete the command's words."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete the commands and options of penstock.

    \b
    bash  eval "$(penstock completion bash)"    in ~/.bashrc, bash 4.4 or later
    zsh   eval "$(penstock completion zsh)"     in ~/.zshrc, behind compinit
    fish  penstock completion fish > ~/.config/fish/completions/penstock.fish
    """
    from click.shell_completion import get_completion_class

    from penstock.cli.main import commands

    made = get_completion_class(shell)
    assert made is not None, "click has all of them"
    click.echo(made(commands, {}, "penstock", "_PENSTOCK_COMPLETE").source())
