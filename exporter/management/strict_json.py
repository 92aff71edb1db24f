"""JSON as an operator means it: what other readers forgive (doubles, trailing text, NaN) is an error here."""

from __future__ import annotations

import json
from typing import NoReturn


class JsonError(Exception):
    """The text is no JSON object that can be trusted. `key` is the key at fault, where there is one."""

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


def read_object(body: bytes) -> dict[str, object]:
    """The one JSON object that `body` is. Raises `JsonError` with one sentence."""
    try:
        document: object = json.loads(
            body.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_constant
        )
        # An escape can stand for half a character, which no answer could repeat.
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonError("a text in the body holds half a surrogate pair") from None
    except UnicodeDecodeError:
        raise JsonError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise JsonError(f"the body is not JSON: {error.msg[0].lower()}{error.msg[1:]} at {place}") from None
    except ValueError as error:
        # An integer of thousands of digits.
        raise JsonError(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise JsonError("the body is nested too deeply") from None
    if not isinstance(document, dict):
        raise JsonError(f"the body must be a JSON object, not {shown(document)}")
    return document


def shown(value: object) -> str:
    """A value as JSON, short enough for a sentence."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise JsonError(f"the key {shown(key)} occurs twice", key)
        found[key] = value
    return found


def _no_constant(written: str) -> NoReturn:
    raise JsonError(f"{written} is not JSON")
