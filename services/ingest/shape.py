"""The JSON that SDKs send, decoded in one pass into typed values; null and missing are the same.

Refuses what is no JSON and what has a wrong type, with msgspec's errors; `diagnose` puts those into our words.
A batch's events stay bytes, so that each is judged alone, and kept as it came where it is refused.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from audience.wire import sent

NULL: Final = Raw(b"null")


class SentEvent(sent.SentEvent, rename="camel", frozen=True, gc=False):
    """One event, with the `writeKey` that is there in a single call's body."""

    write_key: Any = None


class SentBatch(Struct, rename="camel", frozen=True, gc=False):
    """The body of `batch` and `import`. What it gives to each of its events stays bytes here, for the same reason."""

    batch: list[Raw]
    write_key: Any = None
    context: Raw = NULL
    integrations: Raw = NULL
    sent_at: Raw = NULL


class Ids(Struct, rename="camel", frozen=True, gc=False):
    """Whose event it is, of one that was refused for something else."""

    user_id: int | float | str | None = None
    anonymous_id: int | float | str | None = None


UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoders below raise: not JSON, a wrong type, bytes that are no UTF-8, nested too deep."""

decode_event = msgspec.json.Decoder(SentEvent).decode
decode_batch = msgspec.json.Decoder(SentBatch).decode
decode_ids = msgspec.json.Decoder(Ids).decode
decode_object = msgspec.json.Decoder(dict[str, Any] | None).decode
decode_text = msgspec.json.Decoder(str | None).decode
