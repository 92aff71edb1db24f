"""Checks passwords against bcrypt hashes: slow for who guesses, quick for who asks every second."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import bcrypt

# Answers kept; a scraper and a handful of people need no more.
_KEPT_MAX = 128
# bcrypt looks no further.
_PASSWORD_BYTES_MAX = 72
# The end of the hash of a password that nobody knows.
_NOBODY = "$bY.m9HpmZ4pgw2AEzQ/rQ.0skBl3Yph3BKnVz9X/dEPinmOLeryh."


@dataclass(frozen=True, slots=True)
class Known:
    """What was found out before: the user's name, or None for somebody we do not know."""

    user: str | None


class Users:
    """Who somebody is, by the `Authorization` header. Any thread may ask.

    A check of a new password takes as long as its hash was made to take; a repeated one takes microseconds.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # Digests of (name, hash, password) with what they came to, oldest first; worthless without the key.
        self._kept: OrderedDict[bytes, Known] = OrderedDict()
        self._key = secrets.token_bytes(32)

    def known(self, authorization: str | None, hashes: Mapping[str, str]) -> Known | None:
        """What can be said without a check; None if there must be one."""
        credentials = _credentials(authorization)
        if credentials is None:
            return Known(None)
        name, password = credentials
        with self._lock:
            return self._kept.get(self._digest(name, hashes.get(name, ""), password))

    def check(self, authorization: str | None, hashes: Mapping[str, str]) -> str | None:
        """The user's name; None for a wrong or missing one. Slow: not for an event loop."""
        credentials = _credentials(authorization)
        if credentials is None:
            return None
        name, password = credentials
        is_right = _matches(password, hashes.get(name) or _nobody(hashes)) and name in hashes
        known = Known(name if is_right else None)
        digest = self._digest(name, hashes.get(name, ""), password)
        with self._lock:
            self._kept[digest] = known
            self._kept.move_to_end(digest)
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return known.user

    def _digest(self, name: str, hashed: str, password: bytes) -> bytes:
        # A zero byte stands in neither of the last two; names are told apart by their length.
        text = b"\0".join((str(len(name)).encode(), name.encode(), hashed.encode(), password))
        return hmac.digest(self._key, text, hashlib.sha256)


def _nobody(hashes: Mapping[str, str]) -> str:
    """A hash that costs as much as the dearest: who guesses names must wait as long as who guesses passwords."""
    cost = max((hashed.split("$")[2] for hashed in hashes.values()), default="04")
    return f"$2b${cost}{_NOBODY}"


def _matches(password: bytes, hashed: str) -> bool:
    if b"\0" in password:
        return False
    try:
        return bcrypt.checkpw(password[:_PASSWORD_BYTES_MAX], hashed.encode())
    except ValueError:
        # A hash in the right shape that cannot be one, such as one of cost 99.
        return False


def _credentials(authorization: str | None) -> tuple[str, bytes] | None:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        text = name.decode()
    except (binascii.Error, ValueError):
        return None
    return (text, password) if colon else None
