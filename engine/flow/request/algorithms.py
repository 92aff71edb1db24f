"""From settings to a request limit."""

from __future__ import annotations

from random import Random
from typing import assert_never

from engine.flow.request.aimd import AimdLimit
from engine.flow.request.fixed import FixedLimit
from engine.flow.request.gradient import GradientLimit
from engine.flow.request.gradient2 import Gradient2Limit
from engine.flow.request.limit import RequestLimit
from engine.flow.request.vegas import legacy_vegas, vegas
from engine.flow.request.windowed import WindowedLimit
from engine.flow.settings import RequestAlgorithm, RequestLimitSettings


def request_limit(settings: RequestLimitSettings, random: Random) -> RequestLimit | None:
    """A new limit as the settings describe it; None while the request limit is disabled."""
    if not settings.enabled:
        return None
    limit = _algorithm(settings, random)
    return WindowedLimit(limit) if settings.use_windowed else limit


def _algorithm(settings: RequestLimitSettings, random: Random) -> RequestLimit:
    match settings.algorithm:
        case RequestAlgorithm.AIMD:
            return AimdLimit(settings.aimd)
        case RequestAlgorithm.FIXED:
            return FixedLimit(settings.fixed)
        case RequestAlgorithm.VEGAS:
            return vegas(settings.vegas, random)
        case RequestAlgorithm.GRADIENT:
            return GradientLimit(settings.gradient, random)
        case RequestAlgorithm.GRADIENT2:
            return Gradient2Limit(settings.gradient2)
        case RequestAlgorithm.LEGACY_VEGAS:
            return legacy_vegas(settings.legacy_vegas, random)
        case _:
            assert_never(settings.algorithm)
