"""Who may do what: everybody everything without users; with users, each reads, and some may change."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum

from exporter.web_config.config import WebConfig
from exporter.web_config.users import Known

_log = logging.getLogger("penstock.web_config")


class Right(StrEnum):
    """What a user may do; who may change may read."""

    READ = "read"
    CHANGE = "change"


class Access:
    """The web config of a port together with its users' rights. Any thread may ask.

    A user whom `rights` does not name may read.
    """

    def __init__(self, config: WebConfig | None = None, rights: Mapping[str, Right] | None = None) -> None:
        """Raises `ConfigurationError` for rights where there are no users."""
        self.config = config or WebConfig()
        self._rights = dict(rights or {})
        self.config.check_rights(self._rights)
        for name in sorted(self._rights.keys() - self.config.user_names):
            _log.warning("user %s has a right and no password; the web config does not name it", name)

    @property
    def needs_user(self) -> bool:
        return bool(self.config.user_names)

    def known(self, authorization: str | None) -> Known | None:
        """What can be said at once of an `Authorization` header; None if it takes a check."""
        return self.config.known(authorization)

    def check(self, authorization: str | None) -> str | None:
        """The user behind a header; None for nobody we know. Takes a while: not for an event loop."""
        return self.config.check(authorization)

    def may_change(self, user: str | None) -> bool:
        """Whether a request of this user may change anything."""
        return not self.needs_user or (user is not None and self._rights.get(user) is Right.CHANGE)
