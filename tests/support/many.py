"""One test over many things that must all keep a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def for_each(cases: Iterable[tuple[str, tuple[Any, ...]]]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Makes a test of a rule and of all that it holds for, each with its name.

    For checks of microseconds over hundreds of things, where a test for each costs a hundred times its check. All are
    looked at, also behind the first that breaks the rule, and each that does is named with what was found.
    """
    every = list(cases)
    assert every, "a rule over nothing cannot be broken"

    def over_all(rule: Callable[..., None]) -> Callable[[], None]:
        def test() -> None:
            broken = [f"{name}: {why}" for name, case in every if (why := _broken(rule, case)) is not None]
            assert not broken, "\n" + "\n".join(broken)

        test.__name__, test.__doc__, test.__module__ = rule.__name__, rule.__doc__, rule.__module__
        return test

    return over_all


def _broken(rule: Callable[..., None], case: tuple[Any, ...]) -> str | None:
    try:
        rule(*case)
    except AssertionError as error:
        return str(error)
    except Exception as error:
        return repr(error)
    return None
