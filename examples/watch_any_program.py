"""Back pressure of a program that has nothing to do with Penstock: two threads, an asyncio task, three queues.

    python examples/watch_any_program.py

A reader fills a queue faster than a slow writer empties it, and an asyncio task publishes at its ease. Watch them at
http://127.0.0.1:9600, or read http://127.0.0.1:9600/metrics:

    penstock_back_pressure_ratio{pipeline="watch_any_program",subtask="0",task="reader"} 0.9…

The program ends after half a minute; give it another number of seconds to change that, and behind it another port where
9600 is taken: `python examples/watch_any_program.py 60 9700`.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time

import penstock


def read(lines: queue.Queue[str]) -> None:
    """Fast: spends its time in `Queue.put`, held back by the writer."""
    number = 0
    while True:
        lines.put(f"line {number}")
        number += 1


def write(lines: queue.Queue[str]) -> None:
    """Slow: works 10 ms a line, and never waits for one."""
    while True:
        lines.get()
        time.sleep(0.01)


async def publish(messages: asyncio.Queue[str]) -> None:
    """Half of the time held back by whoever takes its messages, else asleep."""
    while True:
        await messages.put("news")
        await asyncio.sleep(0.05)


async def take(messages: asyncio.Queue[str]) -> None:
    while True:
        await messages.get()
        await asyncio.sleep(0.1)


async def main(seconds: float, port: int) -> None:
    lines: queue.Queue[str] = queue.Queue(maxsize=10)
    reader = threading.Thread(target=read, args=(lines,), daemon=True)
    writer = threading.Thread(target=write, args=(lines,), daemon=True)
    reader.start()
    writer.start()
    messages: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
    publisher = asyncio.create_task(publish(messages))
    taker = asyncio.create_task(take(messages))

    watching = penstock.watch(reader, "reader", markers=(queue.Queue.put,))
    watching.watch(writer, "writer").watch(publisher, "publisher").watch(taker, "taker")
    with watching, watching.serve(port) as url:
        print(f"back pressure at {url}, metrics at {url}/metrics", flush=True)
        await asyncio.sleep(seconds)
        for task in watching.snapshot().tasks:
            if task.back_pressure is not None:
                print(
                    f"{task.task:10} held back {task.back_pressure.ratio:.0%} of its time: {task.back_pressure.level}"
                )


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(float(given[0]) if given else 30.0, int(given[1]) if len(given) > 1 else 9600))
