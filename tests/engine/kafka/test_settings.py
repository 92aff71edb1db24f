"""What may be said of a cluster, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError, SettingError
from engine.kafka.properties import read_properties
from engine.kafka.settings import KafkaConnection, KafkaLogSettings

HERE = KafkaConnection(bootstrap_servers="k:9092")


@pytest.mark.parametrize(
    "name",
    [
        "acks",
        "enable.idempotence",
        "transactional.id",
        "isolation.level",
        "enable.auto.commit",
        "auto.offset.reset",
        "group.id",
        "partition.assignment.strategy",
        "bootstrap.servers",
    ],
)
def test_what_the_promise_stands_on_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(SettingError, match=f"properties.{name} is set by Penstock, because ".replace(".", r"\.")):
        KafkaConnection(bootstrap_servers="k:9092", properties={name: "x"})


def test_the_name_of_a_pipeline_becomes_one_of_topics() -> None:
    assert KafkaLogSettings(connection=HERE).prefix("flights & more") == "flights___more"
    assert KafkaLogSettings(connection=HERE, topic_prefix="f").prefix("flights") == "f"
    with pytest.raises(ConfigurationError, match="topicPrefix is missing"):
        KafkaLogSettings(connection=HERE).prefix("..")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topic_prefix": "a b"}, "topicPrefix must be letters, digits"),
        ({"replication_factor": 0}, "replicationFactor must be 1 or more, not 0"),
        ({"min_insync_replicas": 4}, "minInsyncReplicas must not exceed replicationFactor, not 4"),
        ({"transaction_timeout_ns": 5}, "transactionTimeout must be 1s or longer"),
    ],
)
def test_a_setting_outside_its_bound_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        KafkaLogSettings(connection=HERE, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://penstock-0:8600", "https://Gate.example/team/", "http://[::1]:8600"])
def test_a_gateway_is_advertised_by_its_address(url: str) -> None:
    assert KafkaLogSettings(connection=HERE, advertised_url=url).advertised_url == url


@pytest.mark.parametrize(
    "url",
    [
        "penstock-0:8600",
        "ftp://penstock-0",
        "http://",
        "http:///records",
        "http://me:s3cret@penstock-0:8600",
        "http://s3cret@penstock-0",
        "http://penstock-0:8600/?key=s3cret",
        "http://penstock-0:8600#s3cret",
        "http://penstock-0:s3cret",
        "http://penstock-0:99999",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_not_advertised_nor_said(url: str) -> None:
    with pytest.raises(SettingError, match="advertisedUrl must be http:// or https:// with a host") as refused:
        KafkaLogSettings(connection=HERE, advertised_url=url)
    if "@" in url or "?" in url:
        assert "s3cret" not in str(refused.value)


def properties(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "client.properties"
    file.write_text(text)
    return read_properties(file)


def test_the_file_of_kafkas_own_tools_is_understood(tmp_path: Path) -> None:
    assert properties(
        tmp_path,
        """\
# as kafka-topics takes it
security.protocol=SASL_SSL
sasl.mechanism = SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
   username="penstock" password="s\\"ecret";
ssl.truststore.type=PEM
ssl.truststore.location=/etc/ca.pem
ssl.endpoint.identification.algorithm=
""",
    ) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "penstock",
        "sasl.password": 's"ecret',
        "ssl.ca.location": "/etc/ca.pem",
        "ssl.endpoint.identification.algorithm": "none",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ssl.truststore.location=/etc/ca.jks\n", "ssl.truststore.type must be PEM"),
        ("sasl.jaas.config=Krb5LoginModule required;\n", 'sasl.jaas.config must have username="'),
        ("acks=1\n", "acks is set by Penstock, because a commit counts"),
        ("security.protocol\n", "entry 1 must be name=value"),
    ],
)
def test_what_cannot_be_taken_of_it_is_said_without_a_value(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        properties(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"data.kafka.propertiesFile: .* cannot be read: No such file"):
        read_properties(tmp_path / "none")
