"""What every client of librdkafka here shares: quiet reconnects, its log in ours, the code of an error.

Left alone, librdkafka tries a lost broker twenty times a second and writes each failure to standard error.
"""

import logging
from typing import Any, Final

from confluent_kafka import KafkaException

from audience.adapters.kafka.address import parse

_RECONNECT_MS: Final = 100
_RECONNECT_MAX_MS: Final = 2_000

logger: Final = logging.getLogger("librdkafka")


def base_config(bootstrap: str, client_id: str) -> dict[str, Any]:
    """The settings with which any client starts. What it logs arrives in our log when it is polled.

    `bootstrap` is an address of `audience.adapters.kafka.address`; raises WrongKafkaAddress.
    """
    return {
        **parse(bootstrap).librdkafka(),
        "client.id": client_id,
        "reconnect.backoff.ms": _RECONNECT_MS,
        "reconnect.backoff.max.ms": _RECONNECT_MAX_MS,
        "logger": logger,
        "log_level": 4,  # warnings
    }


def code_of(error: KafkaException) -> Any:
    """The driver puts a KafkaError with its code into the exception's first argument."""
    return error.args[0].code()
