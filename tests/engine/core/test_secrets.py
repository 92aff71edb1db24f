"""What of an address is taken out of whatever is said."""

from __future__ import annotations

import pytest

from engine.core.secrets import Secrets


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("postgresql://alice@db/orders", ["alice"]),
        ("postgresql://alice:word%21@db/orders", ["alice", "word!", "word%21", "alice:word!"]),
        ("https://token1234@host/?key=abcd", ["token1234", "abcd"]),
        ("postgresql://penstock:penstock@db/orders", ["penstock"]),
        ("postgresql://alice:penstock@db/orders", ["penstock", "alice"]),
    ],
)
def test_user_and_password_are_hidden_together_and_alone(url: str, hidden: list[str]) -> None:
    secrets = Secrets.of_address(url)
    assert all(secrets.hide(f"it says {text}") == "it says ***" for text in hidden)


@pytest.mark.parametrize("url", ["postgresql://penstock@db/orders", "postgresql://penstock:word1234@db/orders"])
def test_a_user_of_the_name_of_this_program_does_not_take_it_out_of_every_line(url: str) -> None:
    assert Secrets.of_address(url).hide("penstock.run says word1234").startswith("penstock.run says ")
    assert ("word1234" in Secrets.of_address(url).texts) == ("word1234" in url)
