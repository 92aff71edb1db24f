"""What a web config may not take away: the one check of a file at the start and whenever it is read again."""

from __future__ import annotations

from collections.abc import Collection

from exporter.door import ConfigurationError
from exporter.web_config.document import CLIENT_AUTH_TYPES, WebConfigDocument


def check_loss(
    document: WebConfigDocument, *, before: WebConfigDocument | None = None, rights: Collection[str] = ()
) -> None:
    """Raises `ConfigurationError` where a port would be open, or more open, to those it is closed to.

    `before` is what holds; at the start nothing does. A file that is being written, cut short or emptied looks like
    one that wants no users: so what opens a port is done by a restart. A single user may be taken out at any time.
    """
    if not document.users and (rights or (before is not None and before.users)):
        raise ConfigurationError(
            "rights need users: basic_auth_users in the web config"
            if before is None
            else "it names no users; a port is opened to everybody by a restart only"
        )
    if before is None:
        return
    if (document.tls is None) != (before.tls is None):
        raise ConfigurationError("TLS is turned on or off by a restart only")
    if document.tls is not None and before.tls is not None:
        asked, asks = (CLIENT_AUTH_TYPES.index(tls.client_auth_type) for tls in (before.tls, document.tls))
        if asks < asked:
            raise ConfigurationError(
                f"client_auth_type may fall from {before.tls.client_auth_type} to {document.tls.client_auth_type} "
                "by a restart only"
            )
