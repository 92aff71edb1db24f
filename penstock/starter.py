"""A pipeline to begin with: configuration, code, a little data and a test, which all run at once."""

from __future__ import annotations

import re
from pathlib import Path

from engine.core.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")

_YAML = """\
# Sums of orders by customer. In this folder:
#
#     penstock check {name}.yaml     says what would run, and where something is wrong
#     penstock run {name}.yaml       runs it: results in out/, the page at http://127.0.0.1:9600
#
# Delete the folders data and out to begin again.

pipeline:
  name: {name}
  partitions: 2
  sources:
    orders: {{lines: {{path: orders.ndjson, format: json}}}}
  key: customer                         # records of one customer meet in one partition
  valueType: order
  processor: "{name}:SumByCustomer"
  exporters:
    sums:
      jsonl: {{path: out/sums.ndjson}}    # one file a partition
      valueTypes: [sum]

data: ./data

flowControl:
  write:
    enabled: true
    limit: 4000                         # records per second and partition
    throttling:
      enabled: true
      acceptableBacklog: 100000         # records not yet exported; from half of it on, writes slow down
"""

_CODE = '''\
"""What is done with each order."""

from penstock import ProcessingContext, Record


class SumByCustomer:
    """Adds up orders by customer. What is remembered is in `context.state`, and survives whatever happens."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        amount = record.value["amount"]
        if amount < 0:
            context.reject(f"an amount of {{amount}}")
        total = context.state.get(record.key, 0) + amount
        context.state.put(record.key, total)
        context.emit("sum", {{"customer": record.key, "total": total}})
'''

_TEST = '''\
"""Run by pytest, in this folder: no threads, no disk, no waiting."""

from penstock.testing import ProcessorHarness

from {name} import SumByCustomer


def test_orders_are_added_up_by_customer() -> None:
    harness = ProcessorHarness(SumByCustomer, partitions=2)
    harness.process({{"amount": 5}}, key="anna")
    harness.process({{"amount": 2}}, key="bob")
    harness.restart()
    harness.process({{"amount": 4}}, key="anna")
    assert harness.state() == {{"anna": 9, "bob": 2}}
    assert {{"customer": "anna", "total": 9}} in harness.emitted("sum")


def test_a_negative_amount_is_rejected() -> None:
    harness = ProcessorHarness(SumByCustomer)
    assert harness.process({{"amount": -1}}, key="anna").rejected == "an amount of -1"
    assert harness.state() == {{}}
'''

_DATA = "".join(
    f'{{"customer": "{customer}", "amount": {amount}}}\n'
    for customer, amount in (
        ("anna", 12), ("bob", 5), ("carla", 30), ("anna", 8), ("cleo", 1), ("bob", 14), ("carla", -3), ("anna", 2),
    )
)  # fmt: skip


def make(name: str, folder: Path) -> list[Path]:
    """Writes the files into `folder`, which must be new or empty; what was written. Raises `ConfigurationError`."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a pipeline and its module: use 1 to 32 lower-case letters, digits and "
            "underscores, and begin with a letter"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty; choose another name, or another folder by --folder")
        files = {
            f"{name}.yaml": _YAML.format(name=name),
            f"{name}.py": _CODE.format(),
            f"test_{name}.py": _TEST.format(name=name),
            "orders.ndjson": _DATA,
            ".gitignore": "data/\nout/\n__pycache__/\n",
        }
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror or error}") from error
    return [folder / file for file in files]
