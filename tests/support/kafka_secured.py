"""A real Kafka behind TLS, passwords and access rules: each user may do what was granted and nothing else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaConnection
from tests.support.certificates import authority, signed
from tests.support.kafka_broker import KafkaCluster

PASSWORDS = {"admin": "admin's secret", "anna": "anna's secret", "ben": "ben's secret"}


@dataclass(frozen=True)
class Right:
    """An operation on what begins with a name, or, for the cluster, on all of it."""

    resource: ResourceType
    prefix: str
    operation: AclOperation

    def __str__(self) -> str:
        return f"{self.operation.name} on {self.resource.name}"


class SecuredKafka:
    """Its one node speaks SASL_SSL; `admin` may do everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ca = authority(folder, "authority")
        broker = signed(folder, "broker", ca)
        store = folder / "broker-store.pem"
        store.write_text(broker.key.read_text() + broker.cert.read_text() + ca.cert.read_text())
        self.authority = ca.cert
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
        self.broker = KafkaCluster(
            folder / "kafka",
            client=self._client("admin"),
            listener_security_protocol_map="BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
            sasl_enabled_mechanisms="PLAIN",
            sasl_mechanism_inter_broker_protocol="PLAIN",
            listener_name_broker_plain_sasl_jaas_config=(
                f'{login} username="admin" password="{PASSWORDS["admin"]}" {users};'
            ),
            ssl_keystore_type="PEM",
            ssl_keystore_location=store,
            ssl_truststore_type="PEM",
            ssl_truststore_location=ca.cert,
            authorizer_class_name="org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            super_users="User:admin;User:ANONYMOUS",
        )

    def _client(self, user: str) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": PASSWORDS[user],
            "ssl.ca.location": str(self.authority),
        }

    def connection(self, user: str, *, password: str | None = None, authority: Path | None = None) -> KafkaConnection:
        """By a file of properties as Kafka's own tools take it."""
        file = Path(tempfile.mkdtemp(dir=self._folder)) / "client.properties"
        file.write_text(
            "security.protocol=SASL_SSL\n"
            "sasl.mechanism=PLAIN\n"
            "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\\n"
            f'  username="{user}" password="{password or PASSWORDS[user]}";\n'
            "ssl.truststore.type=PEM\n"
            f"ssl.truststore.location={authority or self.authority}\n"
        )
        return KafkaConnection(bootstrap_servers=self.broker.servers, properties_file=file)

    def grant(self, user: str, rights: Sequence[Right]) -> None:
        """These and no others."""
        admin = Cluster(self.connection("admin")).admin()
        every = [_binding(user, right) for right in rights]
        of_user = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            f"User:{user}",
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for answer in admin.delete_acls([of_user]).values():
            answer.result(20)
        for made in admin.create_acls(every).values() if every else ():
            made.result(20)


def _binding(user: str, right: Right) -> AclBinding:
    is_cluster = right.resource is ResourceType.BROKER
    return AclBinding(
        right.resource,
        "kafka-cluster" if is_cluster else right.prefix,
        ResourcePatternType.LITERAL if is_cluster else ResourcePatternType.PREFIXED,
        f"User:{user}",
        "*",
        right.operation,
        AclPermissionType.ALLOW,
    )


@contextmanager
def secured_kafka() -> Iterator[SecuredKafka]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
    secured = SecuredKafka(folder)
    try:
        secured.broker.start()
        yield secured
    finally:
        secured.broker.stop()
        shutil.rmtree(folder, ignore_errors=True)
