"""Reads flow control alone out of a file: no pipeline need be there, no user code is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from engine.core.errors import ConfigurationError
from engine.flow.settings import FlowControlSettings
from penstock.settings.document import read_document
from penstock.settings.entries import Entry, Place
from penstock.settings.environment import read_environment
from penstock.settings.mistakes import mistake_of, mistake_of_rule
from penstock.settings.schema import FlowControlSection
from penstock.settings.sections import BrokenRule, Section, settings_of
from penstock.settings.spelling import understand


class _FlowControlOnly(Section):
    """The file, of which all else is left aside."""

    model_config = ConfigDict(extra="ignore")
    flow_control: FlowControlSection = FlowControlSection()


def load_flow_control(file: Path, environment: Mapping[str, str], changes: Sequence[str] = ()) -> FlowControlSettings:
    """The limits that `file` sets, the environment over it, `changes` (`write.limit=2000`) over both.

    Raises `ConfigurationError` with one line: the place, the rule, the value.
    """
    entries = understand(
        read_document(file),
        read_environment(environment),
        [_changed(change, number) for number, change in enumerate(changes, 1)],
    ).entries
    try:
        found = _FlowControlOnly.model_validate(entries.nested())
        return settings_of(FlowControlSettings, found.flow_control, ("flowControl",))
    except ValidationError as error:
        raise mistake_of(error, entries, str(file)) from None
    except BrokenRule as error:
        raise mistake_of_rule(error, entries, str(file)) from None


def _changed(change: str, number: int) -> Entry:
    """`--set:2:` says where a mistake stands."""
    key, equals, value = change.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise ConfigurationError(f"{change!r} must be a key below flowControl and a value, such as write.limit=2000")
    keys = ("flowControl", *path)
    return Entry(keys, value, Place("--set", keys, (number,) * len(keys)))
