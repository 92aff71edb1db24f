"""A real Kafka of one node or three (KRaft) on loopback, from the jars of Maven Central; fetched once into a cache."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.programs import fetched, why_missing
from tests.support.waiting import wait_until

VERSION = "4.1.1"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_HOST = "127.0.0.1"
_LOG4J = """\
Configuration:
  status: warn
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "[%d] %p %m (%c)%n"}
  Loggers:
    Root:
      level: WARN
      AppenderRef: [{ref: STDOUT}]
"""


def why_not() -> str | None:
    """Why no broker can be started here; None where one can."""
    return why_missing("java", *(() if _is_fetched() else ("mvn",)))


def _folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "penstock" / f"kafka-{VERSION}"


def _is_fetched() -> bool:
    return (_folder() / "complete").exists()


def jars() -> Path:
    """The folder of the jars; one process fetches them, a half fetched one is never taken for whole."""
    folder = _folder()
    if _is_fetched():
        return folder / "lib"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".fetching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_fetched():
            fetched("Kafka", lambda: _fetch(folder))
    return folder / "lib"


def _fetch(folder: Path) -> str | None:
    """What went wrong."""
    work = Path(tempfile.mkdtemp(prefix="fetch-", dir=folder.parent))
    try:
        (work / "pom.xml").write_text(_pom())
        for attempt in range(3):
            done = subprocess.run(
                [
                    "mvn",
                    "-B",
                    "-q",
                    f"{_PLUGIN}:copy-dependencies",
                    "-DincludeScope=runtime",
                    f"-DoutputDirectory={work}/lib",
                ],
                cwd=work,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                break
            if attempt == 2:
                return done.stdout[-3000:]
        assert [*(work / "lib").glob(f"kafka_*-{VERSION}.jar")], done.stdout
        shutil.rmtree(folder, ignore_errors=True)
        (work / "complete").touch()
        work.rename(folder)
        return None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _pom() -> str:
    def dependency(group: str, artifact: str, version: str, *excluded: str) -> str:
        inner = "".join(
            f"<exclusion><groupId>org.apache.kafka</groupId><artifactId>{name}</artifactId></exclusion>"
            for name in excluded
        )
        return (
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            f"<exclusions>{inner}</exclusions></dependency>"
        )

    connect = [f"connect-{name}" for name in ("api", "json", "runtime", "transforms")]
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>penstock</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>"
        "<dependencies>"
        + dependency("org.apache.kafka", "kafka_2.13", VERSION)
        + dependency("org.apache.kafka", "kafka-tools", VERSION, *connect)
        + dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3")
        + "</dependencies></project>"
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((_HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class KafkaNode:
    """One broker, which is a controller too."""

    def __init__(self, number: int, folder: Path, port: int) -> None:
        self.number = number
        self.port = port
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        with suppress(OSError):
            return (self.folder / "log").read_text(errors="replace")[-3000:]
        return ""


class KafkaCluster:
    """Made in a folder; `start` and `stop`, and what may befall its nodes. Numbers count from 1."""

    def __init__(
        self, folder: Path, nodes: int = 1, *, client: Mapping[str, str] | None = None, **settings: object
    ) -> None:
        """`settings` are the broker's, with underscores for dots; `client` is what its clients must say."""
        self._folder = folder
        self._client = dict(client or {})
        ports = free_ports(2 * nodes)
        self._controllers = ports[nodes:]
        self.nodes = [KafkaNode(n + 1, folder / f"node-{n + 1}", ports[n]) for n in range(nodes)]
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        self._settings = settings
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log4j2.yaml").write_text(_LOG4J)

    @property
    def servers(self) -> str:
        return ",".join(f"{_HOST}:{node.port}" for node in self.nodes)

    def start(self) -> KafkaCluster:
        formats = []
        for node in self.nodes:
            node.folder.mkdir(exist_ok=True)
            (node.folder / "server.properties").write_text(self._properties(node))
            if not (node.folder / "data" / "meta.properties").exists():
                formats.append(
                    subprocess.Popen(
                        self._java(
                            "kafka.tools.StorageTool",
                            "format",
                            "-t",
                            self._cluster_id,
                            "-c",
                            str(node.folder / "server.properties"),
                            heap="128m",
                        ),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.STDOUT,
                    )
                )
        assert [one.wait(120) for one in formats] == [0] * len(formats)
        for node in self.nodes:
            self.launch(node.number)
        self.await_answers()
        return self

    def launch(self, number: int) -> None:
        """Starts a node with what it had; does not wait."""
        node = self.nodes[number - 1]
        with (node.folder / "log").open("ab") as output:
            node.process = subprocess.Popen(
                self._java("kafka.Kafka", str(node.folder / "server.properties")),
                cwd=node.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_answers(self) -> None:
        """Until each node knows all."""
        for node in self.nodes:
            assert wait_until(lambda node=node: self._knows(node) == len(self.nodes), seconds=120), node.log

    def _knows(self, node: KafkaNode) -> int:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        assert node.process is not None
        assert node.process.poll() is None, node.log
        quiet = {**self._client, "bootstrap.servers": f"{_HOST}:{node.port}", "log_level": 0}
        try:
            return len(AdminClient(quiet).list_topics(timeout=2).brokers)
        except KafkaException:
            return 0

    def signal(self, number: int, which: signal.Signals) -> None:
        """To one node: SIGKILL ends it, SIGSTOP makes it hang until SIGCONT."""
        process = self.nodes[number - 1].process
        assert process is not None
        process.send_signal(which)
        if which == signal.SIGKILL:
            process.wait(10)

    def leader_of(self, topic: str, partition: int = 0) -> int:
        """The number of the node that leads a partition (from 0) of a topic."""
        from confluent_kafka.admin import AdminClient

        found = AdminClient({**self._client, "bootstrap.servers": self.servers}).list_topics(topic, timeout=10)
        return int(found.topics[topic].partitions[partition].leader)

    def copies_of(self, topic: str, partition: int = 0) -> tuple[int, ...]:
        """The numbers of the nodes that have a partition (from 0) of a topic, the leader first."""
        from confluent_kafka.admin import AdminClient

        found = AdminClient({**self._client, "bootstrap.servers": self.servers}).list_topics(topic, timeout=10)
        one = found.topics[topic].partitions[partition]
        return (int(one.leader), *(int(node) for node in one.replicas if node != one.leader))

    def tool(self, *command: str) -> str:
        """What one of Kafka's own tools prints."""
        done = subprocess.run(
            self._java(*command, heap="128m"), capture_output=True, text=True, check=False, timeout=100
        )
        return done.stdout

    def hanging_transactions(self) -> str:
        """What `kafka-transactions find-hanging` says behind its head; empty where none hangs."""
        said = "".join(
            self.tool(
                "org.apache.kafka.tools.TransactionsCommand",
                "--bootstrap-server",
                self.servers,
                "find-hanging",
                "--broker-id",
                str(node.number),
            )
            for node in self.nodes
        )
        # Its head, and what its client says of a broker that is not up yet.
        return "\n".join(line for line in said.splitlines() if line.strip() and not line.startswith(("Topic", "[")))

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                for which in (signal.SIGCONT, signal.SIGKILL):
                    node.process.send_signal(which)
                node.process.wait(10)

    # -- the command ---

    def _java(self, *arguments: str, heap: str = "256m") -> Sequence[str]:
        return [
            "java",
            f"-Xms{heap}",
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xss512k",
            "-XX:MaxDirectMemorySize=128m",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.yaml'}",
            "-Dlog4j2.disableJmx=true",
            "-cp",
            f"{jars()}/*",
            *arguments,
        ]

    def _properties(self, node: KafkaNode) -> str:
        copies = len(self.nodes)
        voters = ",".join(f"{n + 1}@{_HOST}:{port}" for n, port in enumerate(self._controllers))
        listeners = f"BROKER://{_HOST}:{node.port},CONTROLLER://{_HOST}:{self._controllers[node.number - 1]}"
        values: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "controller.quorum.voters": voters,
            "listeners": listeners,
            "advertised.listeners": f"BROKER://{_HOST}:{node.port}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": node.folder / "data",
            "default.replication.factor": copies,
            "min.insync.replicas": min(2, copies),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 2,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": min(2, copies),
            "transaction.state.log.num.partitions": 3,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": min(2, copies),
            "share.coordinator.state.topic.num.partitions": 1,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "num.recovery.threads.per.data.dir": 1,
            "background.threads": 2,
            "log.cleaner.threads": 1,
            "log.cleaner.dedupe.buffer.size": 8 << 20,
            "log.index.size.max.bytes": 1 << 20,
            "auto.create.topics.enable": "false",
            "controlled.shutdown.enable": "true" if copies > 1 else "false",
            "unclean.leader.election.enable": "false",
            **{name.replace("_", "."): value for name, value in self._settings.items()},
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())


@contextmanager
def kafka_cluster(nodes: int = 1, **settings: object) -> Iterator[KafkaCluster]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
    cluster = KafkaCluster(folder, nodes, **settings)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
