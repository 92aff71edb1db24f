"""One partition of an instance, from one life to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.errors import DataFolderError, PartitionLostError, TaskFailedError
from engine.core.snapshot import PartitionState
from engine.instances.attendant import Attendant
from engine.instances.tenant import Tenant
from engine.log.storage import LostPartitionError, StorageError
from tests.support.waiting import wait_until

# Longer than any test waits.
HOUR_NS = 3600 * NS_PER_SECOND


class PlayedTenant:
    """Opens as it is told to, and ends by itself when `fail` is called."""

    def __init__(self, ended: Callable[[], None], cannot_open: BaseException | None) -> None:
        self._told_ended = ended
        self._cannot_open = cannot_open
        self.failure: TaskFailedError | None = None
        self.has_ended = False
        self.stops = 0

    def start(self) -> None:
        if self._cannot_open is not None:
            raise self._cannot_open

    def leave(self, *, has_right: bool) -> None:
        return

    def stop(self, *, drain: bool) -> None:
        self.stops += 1

    def opening(self) -> None:
        return

    def fail(self, cause: BaseException) -> None:
        self.failure = TaskFailedError("it failed")
        self.failure.__cause__ = cause
        self.has_ended = True
        self._told_ended()


class PlayedHouse:
    """Implements `House`."""

    def __init__(self) -> None:
        self.cannot_open: BaseException | None = None
        self.last_words: BaseException | None = None
        self.tenants: list[PlayedTenant] = []
        self.said: list[str] = []

    def lease(self, number: int, ended: Callable[[], None]) -> Tenant:
        self.tenants.append(PlayedTenant(ended, self.cannot_open))
        return cast(Tenant, self.tenants[-1])

    def opened(self, tenant: Tenant) -> None:
        self.said.append("opened")

    def leaving(self, tenant: Tenant) -> None:
        if self.last_words is not None:
            raise self.last_words

    def closing(self, tenant: Tenant) -> None:
        self.said.append("closing")

    def closed(self, number: int, *, has_right: bool) -> None:
        self.said.append("closed" if has_right else "dropped")

    def failed(self, number: int, failure: BaseException, position: int | None) -> None:
        self.said.append("failed")


@pytest.fixture
def house() -> PlayedHouse:
    return PlayedHouse()


@pytest.fixture
def attendant(house: PlayedHouse) -> Iterator[Attendant]:
    made = Attendant(1, house, SystemClock(), patience_ns=HOUR_NS)
    yield made
    made.take(has_right=True)
    made.end()


def state(attendant: Attendant) -> PartitionState | None:
    seen = attendant.seen()
    return None if seen is None else seen.state


def nobody_answers() -> BaseException:
    error = DataFolderError("Kafka does not answer")
    error.__cause__ = StorageError("timeout", "Kafka does not answer")
    return error


def test_a_partition_that_is_taken_while_it_waits_to_be_opened_again_is_closed_at_once(
    house: PlayedHouse, attendant: Attendant
) -> None:
    house.cannot_open = nobody_answers()
    attendant.give()
    assert wait_until(lambda: house.said == ["closed"]), "it came to nothing and is tried again in a second"
    attendant.take(has_right=True)
    assert attendant.wait_closed(0.5)
    assert state(attendant) is None


def test_a_partition_that_another_instance_has_is_not_seen_here_once_the_group_says_so_too(
    house: PlayedHouse, attendant: Attendant
) -> None:
    attendant.give()
    assert wait_until(lambda: house.said == ["opened"])
    house.tenants[0].fail(PartitionLostError("partition 1 belongs to instance b now"))
    assert wait_until(lambda: state(attendant) is PartitionState.OPENING)
    attendant.take(has_right=False)
    assert attendant.wait_closed(0.5)
    assert state(attendant) is None
    attendant.give()
    assert wait_until(lambda: attendant.tenant is not None), "it may come back"


def test_a_partition_is_given_again_while_its_last_life_ends(house: PlayedHouse, attendant: Attendant) -> None:
    attendant.give()
    assert wait_until(lambda: attendant.tenant is not None)
    attendant.take(has_right=True)
    attendant.give()
    assert wait_until(lambda: len(house.tenants) == 2 and attendant.tenant is not None)
    assert [tenant.stops for tenant in house.tenants] == [1, 0]


def test_a_partition_of_which_the_last_words_cannot_be_said_is_closed_all_the_same(
    house: PlayedHouse, attendant: Attendant, caplog: pytest.LogCaptureFixture
) -> None:
    attendant.give()
    assert wait_until(lambda: attendant.tenant is not None)
    house.last_words = RuntimeError("nothing to say")
    attendant.take(has_right=True)
    assert attendant.wait_closed(5)
    assert house.tenants[0].stops == 1
    assert "partition 1: its last words could not be heard" in caplog.text
    house.last_words = None
    attendant.give()
    assert wait_until(lambda: attendant.tenant is not None)


def test_a_partition_that_cannot_be_opened_before_it_is_clear_who_has_it_waits_for_the_group(
    house: PlayedHouse, attendant: Attendant
) -> None:
    error = DataFolderError("another instance took it over while it was being opened here")
    error.__cause__ = LostPartitionError("another instance took it over while it was being opened here")
    house.cannot_open = error
    attendant.give()
    assert wait_until(lambda: house.said == ["closed"])
    house.cannot_open = None
    assert attendant.retry() is False, "it has not failed"
    attendant.give()
    assert wait_until(lambda: attendant.tenant is not None)
