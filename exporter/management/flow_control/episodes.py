"""GET of `/api/throttling/episodes`: when the throttle held the limits down, how far, and at what backlog."""

from __future__ import annotations

import math
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from exporter.door import NS_PER_SECOND, Episode
from exporter.management.flow_control.posted import RequestError, check_query, partitions_of
from exporter.management.replies import json_reply, problem
from exporter.management.workers import Workers

PATH = "/api/throttling/episodes"


class EpisodesRoute:
    """Answers with the last episodes, oldest first, or with those that touch the time between `from` and `to`."""

    def __init__(self, episodes: Callable[[], tuple[Episode, ...]], workers: Workers) -> None:
        """`episodes` gives all that are known, by start."""
        self._episodes = episodes
        self._workers = workers

    async def get(self, request: Request) -> Response:
        try:
            check_query(request, "partition", "from", "to")
            partitions = partitions_of(request)
            begin, end = _seconds(request, "from", -math.inf), _seconds(request, "to", math.inf)
        except RequestError as error:
            return problem(error.status, str(error))
        episodes = await self._workers.run(self._episodes)
        return json_reply(
            {
                "episodes": [
                    _shown(episode)
                    for episode in episodes
                    if (partitions is None or episode.partition in partitions) and _touches(episode, begin, end)
                ]
            }
        )


def _touches(episode: Episode, begin: float, end: float) -> bool:
    ended = episode.end_wall_ns
    return episode.start_wall_ns / NS_PER_SECOND <= end and (ended is None or ended / NS_PER_SECOND >= begin)


def _shown(episode: Episode) -> dict[str, object]:
    ended = episode.end_wall_ns
    return {
        "partition": episode.partition,
        "start": episode.start_wall_ns / NS_PER_SECOND,
        "end": None if ended is None else ended / NS_PER_SECOND,
        "throttledSeconds": episode.throttled_ns / NS_PER_SECOND,
        "lowestLimit": episode.lowest_limit_per_second,
        "peakBacklog": episode.peak_backlog_records,
        "reason": episode.reason,
    }


def _seconds(request: Request, name: str, default: float) -> float:
    written = request.query_params.get(name)
    if written is None:
        return default
    try:
        seconds = float(written)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise RequestError(400, f"{name} must be a Unix time in seconds, such as 1767225600.5, not {written!r}", name)
    return seconds
