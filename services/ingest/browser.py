"""What a browser on any page needs before it sends events: CORS, and the settings that its SDK asks for first."""

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from audience.ports.catalog import Source

Headers = list[tuple[bytes, bytes]]

EXPOSED: Final[Headers] = [
    (b"access-control-allow-origin", b"*"),
    # An SDK reads Retry-After; the id is for whoever looks at the console of a browser.
    (b"access-control-expose-headers", b"retry-after, request-id"),
]
PREFLIGHT: Final[Headers] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    # By name: `*` does not cover authorization, which the SDK of browsers sends with every call.
    (b"access-control-allow-headers", b"authorization, content-type, x-retry-count"),
    (b"access-control-max-age", b"86400"),
]
SETTINGS_MAX_AGE_S: Final = 60

_HOST: Final = re.compile(r"[A-Za-z0-9_.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


def settings_of(source: Source, address: str) -> dict[str, object]:
    """The least that @segment/analytics-next needs: whither it sends, with which key, and no metrics to its maker."""
    protocol, _, host = address.partition("://")
    return {
        "integrations": {
            "Segment.io": {"apiKey": source.write_key, "apiHost": f"{host}/v1", "protocol": protocol},
        },
        "metrics": {"sampleRate": 0},
    }


def address_of(scope: Scope, public_url: str) -> str:
    """Where a browser reaches us, as `http://host:port`: as configured, or else where it asked for its settings."""
    if public_url:
        return public_url
    host = _header(scope["headers"], b"host").decode("latin-1")
    if not _HOST.fullmatch(host):
        server, port = scope.get("server") or ("127.0.0.1", 80)
        host = f"{server}:{port}"
    return f"{scope['scheme']}://{host}"


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted), b"")
