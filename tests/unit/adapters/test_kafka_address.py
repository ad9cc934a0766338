"""What one string says of Kafka, for both kinds of clients."""

import pytest

from audience.adapters.kafka.address import KafkaAddress, WrongKafkaAddress, parse

TLS = "ssl://a:9093,b:9093?ca=/ca.crt&certificate=/me.pem&key=/me.pem"


def test_servers_alone_are_spoken_to_in_the_clear() -> None:
    assert parse("a:9092,b:9092").librdkafka() == {"bootstrap.servers": "a:9092,b:9092"}
    assert parse("a:9092,b:9092").java() == {"bootstrap.servers": "a:9092,b:9092"}


def test_tls_names_files() -> None:
    assert parse(TLS) == KafkaAddress("a:9093,b:9093", "/ca.crt", "/me.pem", "/me.pem")
    assert parse(TLS).librdkafka() == {
        "bootstrap.servers": "a:9093,b:9093",
        "security.protocol": "ssl",
        "ssl.ca.location": "/ca.crt",
        "ssl.certificate.location": "/me.pem",
        "ssl.key.location": "/me.pem",
    }
    assert parse(TLS).java()["ssl.keystore.location"] == "/me.pem"
    assert "ssl.keystore.location" not in parse("ssl://a:9093?ca=/ca.crt").java()


def test_java_wants_one_file() -> None:
    with pytest.raises(WrongKafkaAddress, match="in one file"):
        parse("ssl://a:9093?ca=/ca.crt&certificate=/me.crt&key=/me.key").java()


@pytest.mark.parametrize(
    "text",
    [
        "ssl://a:9093",
        "ssl://a:9093?ca=/ca.crt&key=/me.key",
        "ssl://a:9093?ca=/ca.crt&kye=/me.key",
        "ssl://?ca=/ca.crt",
        "sasl://a:9092",
        "a:9092?ca=/ca.crt",
    ],
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(WrongKafkaAddress):
        parse(text)
