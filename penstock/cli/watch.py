"""`penstock watch`: a Python process that knows nothing of it, with Penstock's page and metrics in front of it."""

from __future__ import annotations

import logging
from typing import Any

import click

from penstock.cli.bridge import port_options, served, wait_for_signal

log = logging.getLogger("penstock.watch")


@click.command()
@click.argument("pid", type=click.IntRange(1))
@click.option("--name", help="The pipeline under which the process is shown; at first the name of its script.")
@click.option(
    "--graph",
    multiple=True,
    metavar="A,B,C",
    help="Threads in the order in which they hand on, so that the one to blame can be named. May be repeated.",
)
@click.option("--held", multiple=True, metavar="FUNC@FILE", help="A thread in there is held back. May be repeated.")
@click.option(
    "--idle", multiple=True, metavar="FUNC@FILE", help="A thread in there has nothing to do. May be repeated."
)
@click.option("--busy", multiple=True, metavar="FUNC@FILE", help="A thread in there works. May be repeated.")
@click.option("--rate", type=click.IntRange(1, 100), default=20, show_default=True, help="Samples a second.")
@port_options
def watch(
    pid: int,
    name: str | None,
    graph: tuple[str, ...],
    held: tuple[str, ...],
    idle: tuple[str, ...],
    busy: tuple[str, ...],
    rate: int,
    **port: Any,
) -> None:
    """Serve what the threads of the Python process PID do, seen from outside by their stacks, until Ctrl-C.

    Nothing of the process is changed, and it needs to know nothing. Looking into it takes root, or its own user where
    kernel.yama.ptrace_scope is 0; in a container, the capability SYS_PTRACE. Needs py-spy: pip install
    'penstock[watch]'.
    """
    from engine.core.secrets import Secrets
    from penstock.bridges.process.rules import Rules
    from penstock.bridges.process.watcher import ProcessSettings, ProcessWatch

    chains = tuple(tuple(part.strip() for part in chain.split(",") if part.strip()) for chain in graph)
    for chain, written in zip(chains, graph, strict=True):
        if len(chain) < 2:
            raise click.UsageError(
                f"--graph names at least two threads, as in --graph read,parse,write, not {written!r}"
            )
    found = ProcessWatch(
        ProcessSettings(pid=pid, name=name, rate=rate, graph=chains, rules=Rules(held=held, idle=idle, busy=busy))
    )
    found.check()
    with served(found, Secrets(), **port) as address, found:
        log.info("%s shows process %d", address, pid)
        wait_for_signal()
