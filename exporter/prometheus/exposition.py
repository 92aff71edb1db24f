"""One scrape, from what a client accepts to the bytes of the answer."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from exporter.catalogue import PortSnapshot
from exporter.door import Clock, SnapshotSource
from exporter.prometheus.formats import accepts_gzip, negotiate
from exporter.prometheus.writer import ExpositionWriter
from exporter.scraper import Family, Scraper

# Level 9 takes twenty times as long for a third less.
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Exposition:
    """The answer to a scrape."""

    body: bytes
    content_type: str
    # `gzip`, or None for a body as it is.
    content_encoding: str | None


class Exposer:
    """Answers scrapes of one engine. Any number of threads at once."""

    def __init__(
        self,
        engine: SnapshotSource,
        *,
        clock: Clock | None = None,
        pushes: Callable[[], Mapping[str, int]] | None = None,
        port: Callable[[], PortSnapshot] | None = None,
    ) -> None:
        """`pushes` says how pushes to elsewhere ended, where there are any, and `port` who came to the port."""
        self._scraper = Scraper(engine, clock=clock, pushes=pushes, port=port)
        self._writer = ExpositionWriter()

    def expose(self, *, accept: str, accept_encoding: str, names: Sequence[str] = ()) -> Exposition:
        """Renders all families, or those that `names` names by family or by sample."""
        chosen, content_type = negotiate(accept)
        compress = accepts_gzip(accept_encoding)

        def render(families: tuple[Family, ...]) -> bytes:
            body = self._writer.render(_named(families, frozenset(names)), chosen)
            return gzip.compress(body, _GZIP_LEVEL, mtime=0) if compress else body

        return Exposition(self._scraper.scrape(render), content_type, "gzip" if compress else None)


def _named(families: tuple[Family, ...], names: frozenset[str]) -> tuple[Family, ...]:
    if not names:
        return families
    return tuple(
        family
        for family in families
        if not names.isdisjoint((family.metric.name, family.metric.family_name, *family.metric.sample_names))
    )
