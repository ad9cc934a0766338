"""Where Kafka is and how it is spoken to, in one string: what settings hold, and every client here is given.

``host:port,host:port`` is Kafka without encryption. ``ssl://host:port,host:port?ca=FILE&certificate=FILE&key=FILE`` is
TLS: the broker's certificate is checked against `ca`, and the other two, which go together, are ours. All are PEM
files. The string names files and holds no secret. Raises WrongKafkaAddress.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_FILES: Final = ("ca", "certificate", "key")


class WrongKafkaAddress(ValueError):
    """The address cannot be read."""


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Servers, and the files of TLS; `ca` is empty where nothing is encrypted."""

    servers: str
    ca: str = ""
    certificate: str = ""
    key: str = ""

    def librdkafka(self) -> dict[str, str]:
        """As librdkafka takes it."""
        if not self.ca:
            return {"bootstrap.servers": self.servers}
        config = {"bootstrap.servers": self.servers, "security.protocol": "ssl", "ssl.ca.location": self.ca}
        if self.key:
            config |= {"ssl.certificate.location": self.certificate, "ssl.key.location": self.key}
        return config

    def java(self) -> dict[str, str]:
        """As Kafka's Java client takes it. It wants key and certificate in one file."""
        if not self.ca:
            return {"bootstrap.servers": self.servers}
        config = {
            "bootstrap.servers": self.servers,
            "security.protocol": "SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca,
        }
        if self.key != self.certificate:
            raise WrongKafkaAddress("Kafka's Java client wants certificate and key in one file: name it twice")
        if self.key:
            config |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": self.key}
        return config


def parse(text: str) -> KafkaAddress:
    """Read an address."""
    if not text.startswith("ssl://"):
        if "://" in text or "?" in text:
            raise WrongKafkaAddress("a Kafka address is host:port,… or ssl://host:port,…?ca=FILE")
        return KafkaAddress(text)
    parts = urlsplit(text)
    given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    if unknown := set(given) - set(_FILES):
        raise WrongKafkaAddress(f"a Kafka address has no {sorted(unknown)[0]!r}; there are {', '.join(_FILES)}")
    if not parts.netloc or not given.get("ca"):
        raise WrongKafkaAddress("ssl:// names servers, and the file of the authority that signed theirs: ?ca=FILE")
    if bool(given.get("certificate")) != bool(given.get("key")):
        raise WrongKafkaAddress("certificate and key belong together")
    return KafkaAddress(parts.netloc, **given)
