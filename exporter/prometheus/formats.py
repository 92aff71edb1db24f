"""The two exposition formats and which of them a client would rather have (RFC 9110, section 12.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Format(Enum):
    """An exposition format; the value is its media type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Range:
    """One element of an Accept header."""

    media_type: str
    parameters: dict[str, str]
    quality: float
    position: int

    def specificity(self, media_type: str) -> int:
        """0 when it does not cover `media_type`, else the more the closer."""
        if self.media_type == media_type:
            return 4 if "version" in self.parameters else 3
        if self.media_type == f"{media_type.partition('/')[0]}/*":
            return 2
        return 1 if self.media_type == "*/*" else 0


def negotiate(accept: str) -> tuple[Format, str]:
    """The format to answer an Accept header with, and its Content-Type.

    The highest quality wins; among equals the format named more closely, then the one named first, then the
    text format. Who accepts neither gets text: a scrape in the wrong format says more than none.
    """
    ranges = tuple(_ranges(accept))
    best = max((_rank(offer, ranges) for offer in Format), key=lambda ranked: ranked[0])
    chosen = best[1] if best[0][0] > 0 else Format.TEXT
    # All our names are plain, so that every escaping leaves them as they are but for the one with dots.
    escaping = "; escaping=underscores" if any("escaping" in r.parameters for r in ranges) else ""
    return chosen, chosen.value + escaping


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is welcome: named (or `*`) with a quality above 0 and not below that of `identity`."""
    quality = {r.media_type: r.quality for r in _ranges(accept_encoding)}
    gzip = quality.get("gzip", quality.get("x-gzip", quality.get("*", 0.0)))
    return gzip > 0 and gzip >= quality.get("identity", 0.0)


def _rank(offer: Format, ranges: Sequence[_Range]) -> tuple[tuple[float, int, int], Format]:
    """Orders offers by quality, closeness and place of the range that covers each most closely."""
    media_type = offer.value.partition(";")[0]
    covering = [
        (r.specificity(media_type), -r.position, r.quality)
        for r in ranges
        if r.specificity(media_type) and _serves(offer, r.parameters.get("version"))
    ]
    if not covering:
        return (0.0, 0, 0), offer
    specificity, place, quality = max(covering)
    return (quality, specificity, place), offer


def _serves(offer: Format, version: str | None) -> bool:
    """Whether an offer answers a version: ours, or of OpenMetrics a later one (clients read older ones)."""
    if version is None:
        return True
    if offer is Format.TEXT:
        return version == "0.0.4"
    return version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) >= 1


def _ranges(header: str) -> Iterator[_Range]:
    for position, element in enumerate(header.split(",")):
        media_type, *rest = (part.strip() for part in element.split(";"))
        if not media_type:
            continue
        pairs = (part.partition("=") for part in rest)
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        yield _Range(media_type.lower(), parameters, _quality(parameters.pop("q", "1")), position)


def _quality(written: str) -> float:
    try:
        quality = float(written)
    except ValueError:
        return 0.0
    # Also false for NaN.
    return quality if 0 <= quality <= 1 else 0.0
