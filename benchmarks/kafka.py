"""What a log in Kafka costs: `python -m benchmarks.kafka [--pairs 7] [--values 150000] [--idle-seconds 20]`.

A broker of one node is started from Maven Central's jars (Java). The same pipeline, with state, messages between
partitions, timers and a file, runs over the local log and over Kafka in turns, each in a process of its own; what is
compared is the processor time of the process, the broker's is not in it. Then a pipeline to which nothing comes, and
one to which a command comes each second and partition: how many transactions a second and partition they commit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks.conditions import Spread, conditions
from engine.exporting.jsonl import jsonl
from engine.options import EngineOptions
from engine.runtime.engine import Engine
from engine.runtime.pipeline import Pipeline
from tests.support.kafka_broker import kafka_cluster, why_not
from tests.support.kafka_logs import log_settings
from tests.support.kafka_pipelines import Counting, Numbers

PARTITIONS = 2
GOAL = 1.3


def engine(servers: str, folder: Path, values: int) -> Engine:
    """Over Kafka with an address, over the local log without one."""
    pipeline = (
        Pipeline("cost", partitions=PARTITIONS)
        .source("made", Numbers(values))
        .key_by("key")
        .process(Counting)
        .export("file", jsonl(folder / "out-{partition}.jsonl"))
    )
    settings: dict[str, Any] = {"retained_records": None}
    if servers:
        prefix = f"cost-{uuid.uuid4().hex[:10]}"
        settings |= {"storage": "kafka", "kafka": log_settings(servers, topic_prefix=prefix)}
    return Engine(pipeline, folder, options=EngineOptions(run_forever=not values, **settings))


def transactions(running: Engine) -> int:
    return sum(one.cluster.transactions["committed"] for one in running.snapshot().partitions if one.cluster)


def run(servers: str, folder: Path, values: int) -> dict[str, float]:
    """One run to its end, in this process."""
    before = time.process_time()
    with engine(servers, folder, values) as running:
        running.wait()
        commits = transactions(running)
    return {"cpu_seconds": time.process_time() - before, "transactions": commits}


def run_elsewhere(servers: str, values: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.kafka", "--run", servers, folder, "--values", str(values)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def commits_a_second(running: Engine, seconds: float, *, with_commands: bool) -> float:
    """Of a partition; with a command a second for each, or with nothing that comes."""
    # What the start has brought along is over by then.
    Event().wait(3.0)
    before, began = transactions(running), time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        for partition in range(1, PARTITIONS + 1) if with_commands else ():
            running.write([{"n": round(1000 * elapsed) * 10 + 1, "key": f"key-{partition}"}], partition=partition)
        Event().wait(1.0)
    return (transactions(running) - before) / (time.monotonic() - began) / PARTITIONS


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kafka", description="what a log in Kafka costs")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--values", type=int, default=150_000)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    parser.add_argument("--run", nargs=2, metavar=("SERVERS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if options.run:
        print(json.dumps(run(options.run[0], Path(options.run[1]), options.values)))
        return 0
    if missing := why_not():
        print(missing)
        return 1
    print(conditions())
    with kafka_cluster() as cluster:
        ratios = []
        for pair in range(options.pairs):
            # In turns, and each first in every second pair.
            order = ("", cluster.servers) if pair % 2 else (cluster.servers, "")
            found = {servers: run_elsewhere(servers, options.values) for servers in order}
            ours, local = found[cluster.servers], found[""]
            ratios.append(ours["cpu_seconds"] / local["cpu_seconds"])
            print(
                f"local log {local['cpu_seconds']:.2f} s of CPU, Kafka {ours['cpu_seconds']:.2f} s in "
                f"{ours['transactions']:.0f} transactions: {ratios[-1]:.2f}",
                flush=True,
            )
        print(f"Kafka ÷ local log {Spread.of(ratios).text()}, n = {len(ratios)}; the goal is {GOAL}")
        with tempfile.TemporaryDirectory() as folder, engine(cluster.servers, Path(folder), 0) as running:
            for with_commands in (False, True):
                rate = commits_a_second(running, options.idle_seconds, with_commands=with_commands)
                what = "a command a second" if with_commands else "nothing comes"
                print(f"{what}: {rate:.2f} transactions a second and partition")
        cluster.await_answers()
        print(f"transactions that hang: {cluster.hanging_transactions() or 'none'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
