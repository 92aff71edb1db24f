"""A line of the log for people."""

from __future__ import annotations

import logging
import sys

from engine.core.secrets import Secrets
from penstock.cli.log_output import TextFormatter


def test_secrets_are_taken_out_of_what_is_said_and_the_logger_keeps_its_name() -> None:
    formatter = TextFormatter(Secrets.of("orders", "word1234"))
    try:
        raise ValueError("word1234 is wrong")
    except ValueError:
        record = logging.LogRecord(
            "penstock.orders", logging.WARNING, __file__, 1, "user %s has word1234", ("orders",), sys.exc_info()
        )
    said = formatter.format(record)
    assert " WARNING penstock.orders: user *** has ***\n" in said
    assert said.endswith("ValueError: *** is wrong")
