"""A place in the consumer group of a pipeline: Kafka decides which instance has which partition."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Literal, Protocol

from engine.core.clock import NS_PER_SECOND, Clock, SystemClock
from engine.core.errors import ConfigurationError
from engine.kafka.client import Cluster, Consumer, KafkaError, KafkaException, TopicPartition, sentence
from engine.log.kafka.topics import Topics

log = logging.getLogger("penstock.instances")

_POLL_SECONDS = 0.2
_CLOSE_SECONDS = 15.0
# How long the client takes to learn what became of its place while the whole process stood still.
_DOUBT_NS = NS_PER_SECOND
# What no waiting mends.
_EXPELLED = frozenset({KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL, KafkaError.UNSUPPORTED_VERSION})
_FENCED_BY_NAME = "Static consumer fenced"
_NOT_ALLOWED = frozenset({KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED})


class Owner(Protocol):
    """Who is told what belongs to it; see `engine.instances.membership`."""

    def given(self, partitions: Iterable[int]) -> None: ...

    def taken(self, partitions: Iterable[int]) -> None: ...

    def lost(self, partitions: Iterable[int]) -> None: ...

    def joined(self) -> None: ...

    def expelled(self, why: str) -> None: ...


class Group:
    """Implements `Membership` by a consumer that reads nothing: its partitions are paused.

    One thread polls it and is never held up by a partition that opens; where one is to be closed it waits, as long as
    its owner has it wait, and the client's own threads go on saying that this member lives. Partitions that stay are
    not touched by a move of others.
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: Topics,
        owned: Callable[[], Collection[int]],
        *,
        instance: str | None,
        session_ns: int,
        protocol: Literal["classic", "consumer"],
        clock: Clock | None = None,
    ) -> None:
        """`owned` are those that were given and neither taken nor lost."""
        self._cluster = cluster
        self._clock = clock or SystemClock()
        self._topic = topics.log
        self._name = topics.group
        self._owned = owned
        self._instance = instance
        self._session_ns = session_ns
        self._protocol: Literal["classic", "consumer"] = protocol
        self._stopping = threading.Event()
        self._consumer: Consumer | None = None
        self._owner: Owner | None = None
        self._has_joined = False
        self._told_trouble: str | None = None
        # When the group was last asked for news, and until when what it said before is doubted.
        self._asked_ns = self._clock.monotonic_ns()
        self._doubted_until_ns = 0
        self._is_handing_over = False
        self._thread = threading.Thread(target=self._run, name="penstock-group", daemon=True)

    def start(self, owner: Owner) -> None:
        self._owner = owner
        self._consumer = self._joining()
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _joining(self) -> Consumer:
        consumer = self._cluster.member(
            self._name, instance=self._instance, session_ns=self._session_ns, protocol=self._protocol
        )
        try:
            consumer.subscribe([self._topic], on_assign=self._given, on_revoke=self._taken, on_lost=self._lost)
        except KafkaException as error:
            raise ConfigurationError(f"group {self._name} cannot be joined: {sentence(error)}") from error
        return consumer

    def _run(self) -> None:
        assert self._owner is not None, "it was started"
        assert self._consumer is not None, "it was started"
        try:
            while not self._stopping.is_set():
                self._ask_anew()
                message = self._consumer.poll(_POLL_SECONDS)
                error = None if message is None else message.error()
                if error is not None and not self._heard(error):
                    return
        except KafkaException as error:
            self._owner.lost(self._owned())
            self._owner.expelled(f"group {self._name}: {sentence(error)}")
        except Exception as error:
            log.exception("the group cannot be followed")
            self._owner.lost(self._owned())
            self._owner.expelled(f"group {self._name}: {error!r}")
        finally:
            self._leave()

    @property
    def is_in_doubt(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        return self._has_slept(now_ns) or now_ns < self._doubted_until_ns

    def _has_slept(self, now_ns: int) -> bool:
        # Heartbeats come three times a session: who missed one may have lost all when half of it is over. Whoever waits
        # for a partition to close is awake.
        return not self._is_handing_over and now_ns - self._asked_ns > self._session_ns // 2

    def _ask_anew(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._has_slept(now_ns):
            self._doubted_until_ns = now_ns + _DOUBT_NS
        self._asked_ns = now_ns

    def _heard(self, error: KafkaError) -> bool:
        """False where this is the end of it."""
        assert self._owner is not None, "it was started"
        # Told as something fatal, the client says by its text alone what it was.
        if error.code() == KafkaError.FENCED_INSTANCE_ID or _FENCED_BY_NAME in error.str():
            why = (
                f"another process calls itself instance {self._instance}: each needs a name of its own "
                "(data.kafka.instance)"
            )
        elif error.code() in _NOT_ALLOWED:
            is_group = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
            what = f"group {self._name}" if is_group else f"topic {self._topic}"
            right = f"give the user of data.kafka the right Read on {what}"
            why = f"{what}: Kafka does not allow it: {sentence(error)}; {right}"
        elif error.code() in _EXPELLED or error.fatal():
            why = f"group {self._name}: {sentence(error)}"
        else:
            if (said := sentence(error)) != self._told_trouble:
                self._told_trouble = said
                log.debug("group %s: %s", self._name, said)
            return True
        self._owner.lost(self._owned())
        self._owner.expelled(why)
        return False

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            # What is still owned is taken by a call from in here. A static member stays one until its session is over.
            consumer.close()
        except (KafkaException, RuntimeError) as error:
            log.warning("group %s was not left in good order: %s", self._name, error)

    # -- what the client calls, on the thread that polls ---

    def _given(self, consumer: Consumer, found: list[TopicPartition]) -> None:
        if found:
            consumer.incremental_assign(found)
            consumer.pause(found)
        assert self._owner is not None, "it was started"
        self._owner.given(_numbers(found))
        self._is_in()

    def _taken(self, consumer: Consumer, found: list[TopicPartition]) -> None:
        assert self._owner is not None, "it was started"
        self._is_handing_over = True
        self._owner.taken(_numbers(found))
        self._asked_ns = self._clock.monotonic_ns()
        self._is_handing_over = False
        if found:
            consumer.incremental_unassign(found)

    def _lost(self, consumer: Consumer, found: list[TopicPartition]) -> None:
        numbers = _numbers(found)
        log.warning(
            "this instance was not heard for too long, or Kafka does not answer: partition %s may belong to others by "
            "now",
            ", ".join(map(str, numbers)) or "–",
        )
        assert self._owner is not None, "it was started"
        self._owner.lost(numbers)
        if found:
            consumer.incremental_unassign(found)

    def _is_in(self) -> None:
        if not self._has_joined:
            self._has_joined = True
            assert self._owner is not None, "it was started"
            self._owner.joined()


def _numbers(found: Iterable[TopicPartition]) -> list[int]:
    return sorted(one.partition + 1 for one in found)
