"""The file as it stands now: read again when it changes, and kept when the new one is wrong."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Lock

from exporter.door import ConfigurationError
from exporter.web_config.document import WebConfigDocument, read_web_config
from exporter.web_config.loss import check_loss
from exporter.web_config.tls import NewestContext, tls_context
from exporter.web_config.users import Known, Users

_log = logging.getLogger("penstock.web_config")
# What tells one version of a file from the next.
_Mark = tuple[int, int, int] | None


class WebConfig:
    """TLS, headers and users of our ports. Any thread may ask; each question looks whether the file has changed.

    A changed file that cannot be used, or that would open a port (`loss`), is logged once, and what held before goes
    on to hold; its certificates are renewed all the same.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Raises `ConfigurationError` for a file that cannot be used; without a path all is open and plain."""
        self._path = path
        self._users = Users()
        self._lock = Lock()
        # All below are guarded by it.
        self._document = WebConfigDocument()
        self._context: ssl.SSLContext | None = None
        # The files that were read last, of a document that could not be used too, and what they were like.
        self._files: tuple[Path, ...] = ()
        self._marks: tuple[_Mark, ...] = ()
        if path is not None:
            self._document = self._read(path)
            self._context = None if self._document.tls is None else tls_context(self._document.tls)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that every answer shall have unless it has its own."""
        return self._newest().headers

    def check_rights(self, users: Collection[str]) -> None:
        """Raises `ConfigurationError` for rights of `users` where there is nobody."""
        check_loss(self._newest(), rights=users)

    @property
    def user_names(self) -> frozenset[str]:
        """Those who may ask; nobody means everybody."""
        return frozenset(self._newest().users)

    def known(self, authorization: str | None) -> Known | None:
        """What is known of an `Authorization` header without a check; None if there must be one."""
        return self._users.known(authorization, self._newest().users)

    def check(self, authorization: str | None) -> str | None:
        """The user behind it; None for nobody we know. Takes a while: not for an event loop."""
        return self._users.check(authorization, self._newest().users)

    def tls(self) -> ssl.SSLContext | None:
        """A context that follows the file; None where the port speaks plain HTTP."""
        if self._context is None:
            return None
        return NewestContext(self._newest_context)

    def _newest_context(self) -> ssl.SSLContext:
        self._newest()
        with self._lock:
            assert self._context is not None, "a port without TLS asks for none"
            return self._context

    def _newest(self) -> WebConfigDocument:
        if self._path is None:
            return self._document
        with self._lock:
            if tuple(map(_mark, self._files)) != self._marks:
                self._read_again(self._path)
            return self._document

    def _read_again(self, path: Path) -> None:
        held = self._document
        try:
            document = self._read(path)
            check_loss(document, before=held)
            context = None if document.tls is None else tls_context(document.tls)
        except ConfigurationError as error:
            text = str(error)
            _log.error(
                "%s; what held before goes on to hold", text if text.startswith(str(path)) else f"{path}: {text}"
            )
            self._watch(*(() if held.tls is None else held.tls.files))
            self._renew(held)
            return
        self._document, self._context = document, context
        _log.info("%s is read again", path)

    def _renew(self, held: WebConfigDocument) -> None:
        """The newest certificates for what holds; those that cannot be used are as if they had not come."""
        if held.tls is not None:
            with contextlib.suppress(ConfigurationError):
                self._context = tls_context(held.tls)

    def _read(self, path: Path) -> WebConfigDocument:
        # Marked before they are read: a change in between is seen at the next look. The same faulty files are
        # not complained about twice.
        self._files, self._marks = (), ()
        self._watch(path)
        document = read_web_config(path)
        if document.tls is not None:
            self._watch(*document.tls.files)
        return document

    def _watch(self, *files: Path) -> None:
        self._files += files
        self._marks = (*self._marks, *map(_mark, files))


def _mark(path: Path) -> _Mark:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
