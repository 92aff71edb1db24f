"""The last fifteen minutes, second by second, and what has just happened: what the web page draws."""

from exporter.history.feed import CLIENTS_MAX, Event, Feed, Subscription, TooManyClientsError
from exporter.history.recorder import CAPACITY, HistoryRecorder
from exporter.history.sampler import PERIOD_NS, HistorySampler

__all__ = [
    "CAPACITY",
    "CLIENTS_MAX",
    "PERIOD_NS",
    "Event",
    "Feed",
    "HistoryRecorder",
    "HistorySampler",
    "Subscription",
    "TooManyClientsError",
]
