"""`/api/events`: what happens, as it happens, as server-sent events (the HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.history import Event, Feed, Subscription, TooManyClientsError
from exporter.management.replies import NO_STORE, problem

PATH = "/api/events"
# A stream that is silent this long gets a comment, so that a proxy does not take it for dead.
_SILENCE_SECONDS_MAX = 15.0
# After the end of a stream a browser waits this long before it asks again.
_RETRY_MS = 2000
# An event id of ours has at most this many characters.
_ID_LENGTH_MAX = 64
_HEADERS = {**NO_STORE, "X-Accel-Buffering": "no"}


class EventsRoute:
    """Streams to as many clients as the feed has places. All of it runs on the event loop."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def get(self, request: Request) -> Response:
        after = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
        if after is not None and len(after) > _ID_LENGTH_MAX:
            return problem(400, "an event id is shorter than that")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=_HEADERS)
        loop, wake = asyncio.get_running_loop(), asyncio.Event()

        def wake_from_any_thread() -> None:
            # The loop may have ended between two events.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(wake.set)

        try:
            subscription = self._feed.subscribe(wake_from_any_thread, after=after)
        except TooManyClientsError:
            return problem(503, "as many clients listen as may", headers={"Retry-After": "10"})
        # For what waits already.
        wake.set()
        return _Stream(self._feed, subscription, wake)


class _Stream(Response):
    """One client's stream, until it leaves, is too slow, or the feed ends."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, subscription: Subscription, wake: asyncio.Event) -> None:
        super().__init__(headers=_HEADERS)
        # Its length is not known beforehand.
        del self.headers["content-length"]
        self._feed = feed
        self._subscription = subscription
        self._wake = wake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        telling = asyncio.ensure_future(self._tell(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._feed.unsubscribe(self._subscription)
            for task in (telling, leaving):
                task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        text = f"retry: {_RETRY_MS}\n\n".encode()
        while True:
            await send({"type": "http.response.body", "body": text, "more_body": True})
            try:
                async with asyncio.timeout(_SILENCE_SECONDS_MAX):
                    await self._wake.wait()
            except TimeoutError:
                text = b": still here\n\n"
                continue
            self._wake.clear()
            # Looked up first: what is told before the end is still taken.
            is_over = self._subscription.is_over
            text = b"".join(map(_written, self._subscription.take()))
            if is_over:
                break
        await send({"type": "http.response.body", "body": text, "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _written(event: Event) -> bytes:
    return f"id: {event.id}\nevent: {event.name}\ndata: ".encode() + event.data + b"\n\n"
