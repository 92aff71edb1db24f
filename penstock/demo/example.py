"""Where the flights and the code that counts them lie: in a checkout, and in an installed package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import ConfigurationError, Processor

_HERE = Path(__file__).parent
# A package carries a copy beside this module; a checkout has the example itself.
_PLACES = (_HERE / "flights", _HERE.parents[1] / "examples" / "flights")
# A name of its own: whatever module `flights` there may be besides is none of the demo's business.
_MODULE = "penstock_demo_flights"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightsExample:
    """What `examples/flights` is made of."""

    data: Path
    parse: Callable[[Any], Any]
    processor: Callable[[], Processor]


def flights_example() -> FlightsExample:
    """Finds the example and imports its code."""
    folder = next((place for place in _PLACES if (place / "flights.py").is_file()), None)
    if folder is None:
        raise ConfigurationError(f"the demo's flights are neither in {_PLACES[0]} nor in {_PLACES[1]}")
    spec = importlib.util.spec_from_file_location(_MODULE, folder / "flights.py")
    assert spec is not None, "a .py file has a spec"
    assert spec.loader is not None, "and a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return FlightsExample(data=folder / "flights.ndjson.gz", parse=module.parse, processor=module.DelayStatistics)
