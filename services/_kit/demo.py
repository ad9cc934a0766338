"""The demo's credentials: known to everybody, so right for a laptop and refused in production.

`audience-ops demo-credentials` creates them; each service calls `refuse_demo_credentials` before it serves.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from audience.ports.catalog import SourceCatalog, TokenCatalog
from services._kit.settings import ServiceSettings

WORKSPACE: Final = "demo"
SOURCE: Final = "demo"
WRITE_KEY: Final = "demo-write-key"
API_TOKEN: Final = "demo-api-token"  # noqa: S105  it opens the demo, and nothing else may start with it


class DemoCredentialsPresent(Exception):
    """A production install holds a credential that everybody knows."""


def token_sha256(token: str) -> bytes:
    """What is kept of a token, and looked up for one that is presented."""
    return hashlib.sha256(token.encode()).digest()


async def refuse_demo_credentials(
    settings: ServiceSettings, sources: SourceCatalog | None = None, tokens: TokenCatalog | None = None
) -> None:
    """Raise DemoCredentialsPresent where the environment is production and a demo credential is set or stored."""
    if settings.environment != "production":
        return
    found = [f"the setting AUDIENCE_{name.upper()}" for name, value in _values(settings).items() if _is_demo(value)]
    if sources is not None:
        found += [
            f"the write key of source {source.source!r} in workspace {source.workspace!r}"
            for source in await sources.sources()
            if source.write_key == WRITE_KEY
        ]
    if tokens is not None and (access := await tokens.access_of(token_sha256(API_TOKEN))) is not None:
        found.append(f"an API token of workspace {access.workspace!r}")
    if found:
        raise DemoCredentialsPresent(
            f"this is a production install, and everybody knows these credentials: {'; '.join(found)}. "
            "Replace them (`audience-ops sources create`, `audience-ops tokens create`), remove them, and start again."
        )


def _values(settings: ServiceSettings) -> Mapping[str, object]:
    return {name: getattr(settings, name) for name in type(settings).model_fields}


def _is_demo(value: object) -> bool:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return text in (WRITE_KEY, API_TOKEN)
