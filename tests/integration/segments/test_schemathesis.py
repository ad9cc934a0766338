"""The OpenAPI document against the service, by schemathesis: no 5xx, and nothing that the document does not say.

In a workspace of its own. Explain asks the streaming job, and a stream never ends; both have tests by hand.
"""

import asyncio
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audience.adapters.postgres.pool import open_pool
from audience.adapters.postgres.tokens import PostgresTokenCatalog
from services._kit.demo import token_sha256

pytestmark = pytest.mark.platform

SECONDS = 45
CHECKS = ("not_a_server_error", "response_schema_conformance", "status_code_conformance", "content_type_conformance")


async def make_token(dsn: str) -> str:
    token = secrets.token_urlsafe(16)
    async with open_pool(dsn, max_size=1) as pool:
        workspace = f"w-{secrets.token_hex(6)}"
        await PostgresTokenCatalog(pool).create(workspace, "schemathesis", token_sha256(token))
    return token


@pytest.mark.timeout(180)
def test_the_document_is_kept(platform: Any, tmp_path: Path) -> None:
    token = asyncio.run(make_token(platform.postgres_dsn))
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(  # noqa: S603
        [
            str(program), "run", f"{platform.segments_url}/openapi.json", "--origin", platform.segments_url,
            "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
            "--phases", "examples,coverage,fuzzing,stateful", "--exclude-path-regex", "stream|explain",
            "--max-examples", "8", "--max-time", str(SECONDS), "--seed", "1", "--continue-on-failure",
            "--generation-database", "none", "--request-timeout", "20", "--warnings", "off", "--no-color",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Stateful" in done.stdout
