"""The names of another system for what the boards show, so that the same boards can be written for it.

Boards are described in the names of our catalogue. A vocabulary says what a metric and a label are called
elsewhere; what has no name there is not shown. Values of labels and the meaning of numbers must agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dashboards import throttling
from dashboards.board import Board, Row
from dashboards.panel import Panel
from exporter.catalogue import metric_of_sample

_METRIC = re.compile(r"\bpenstock_\w+\b")
_MATCHERS = re.compile(r"\{[^{}]*\}")
_MATCHED = re.compile(r'(\w+)(?=\s*(?:=~|!~|!=|=)\s*")')
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) \([^()]*\)")
_LEGEND_LABEL = re.compile(r"(?<={{)\w+(?=}})")
_LINK_LABEL = re.compile(r"(?<=__field\.labels\.)\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What metrics and labels of the catalogue are called; a label that is not named is called the same."""

    # None: everything is called as in the catalogue. Else only what is named exists.
    metrics: Mapping[str, str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def knows(self, expression: str) -> bool:
        """Whether every metric in the expression has a name."""
        return self.metrics is None or all(
            metric_of_sample(sample).name in self.metrics for sample in _METRIC.findall(expression)
        )

    def simplified(self, text: str) -> str:
        """Where throttles are not counted, they are drawn by what scrapes see."""
        if self.knows(text):
            return text
        return text.replace(throttling.throttled_within_step().text, throttling.seen_by_scrapes().text)

    def expression(self, text: str) -> str:
        """PromQL in these names. Only metrics that it `knows` may occur, or those of which it can do without."""
        text = self.simplified(text)
        text = _MATCHERS.sub(lambda found: _MATCHED.sub(self._label, found[0]), text)
        text = _LABEL_LIST.sub(lambda found: re.sub(r"(?<=[(\s])\w+(?=[,)])", self._label, found[0]), text)
        return _METRIC.sub(lambda found: self._metric(found[0]), text)

    def legend(self, text: str) -> str:
        return _LEGEND_LABEL.sub(self._label, text)

    def link(self, url: str) -> str:
        return _LINK_LABEL.sub(self._label, url)

    def shown(self, board: Board) -> Board:
        """The board without the panels for which a name is missing, and without rows that have none left."""
        rows = (replace(row, panels=tuple(filter(self._shows, row.panels))) for row in board.rows)
        kept: tuple[Row, ...] = tuple(row for row in rows if row.panels)
        return replace(board, rows=kept)

    def _shows(self, panel: Panel) -> bool:
        return all(self.knows(self.simplified(query.expression.text)) for query in panel.queries)

    def _label(self, found: re.Match[str]) -> str:
        return self.labels.get(found[0], found[0])

    def _metric(self, sample: str) -> str:
        if self.metrics is None:
            return sample
        metric = metric_of_sample(sample).name
        # What follows the name, as in `_bucket`, is the same everywhere.
        return self.metrics[metric] + sample.removeprefix(metric)


PENSTOCK = Vocabulary()
