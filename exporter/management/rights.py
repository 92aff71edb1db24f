"""`/api/rights`: who asks, and whether that one may change anything. A look, so nothing of it is in the audit log."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from exporter.management.access import user_of
from exporter.management.replies import json_reply
from exporter.web_config import Access

PATH = "/api/rights"


class RightsRoute:
    """Answers for whoever asks; the same is asked of `access` when a change comes."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, request: Request) -> Response:
        user = user_of(request)
        return json_reply({"user": user, "mayChange": self._access.may_change(user)})
