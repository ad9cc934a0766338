"""What schemathesis makes of ingest-api's OpenAPI: no 5xx, and no answer that the schema does not describe."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from services.ingest.routes import BY_PATH
from tests.integration.ingest.topics import Platform

pytestmark = pytest.mark.platform

EXAMPLES = 15
"""For each operation and each way of making requests: as the schema wants them, and otherwise."""

SETTINGS_ROUTE = "/v1/projects/{write_key}/settings"


@pytest.fixture(scope="module")
def described(platform: Platform) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_url(f"{platform.ingest_url}/openapi.json")


def test_every_operation_is_tried(described: schemathesis.schemas.BaseSchema) -> None:
    assert {each.ok().path for each in described.get_all_operations()} == {*BY_PATH, SETTINGS_ROUTE}


def operations() -> Iterator[tuple[str, GenerationMode]]:
    for path in (*BY_PATH, SETTINGS_ROUTE):
        yield path, GenerationMode.POSITIVE
        if path not in {"/v1/m", SETTINGS_ROUTE}:  # nothing that is sent there breaks their schemas
            yield path, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("path", "mode"), list(operations()))
def test_operation(
    described: schemathesis.schemas.BaseSchema, platform: Platform, path: str, mode: GenerationMode
) -> None:
    method = "GET" if path == SETTINGS_ROUTE else "POST"

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def tried(case: schemathesis.Case) -> None:
        case.call_and_validate(auth=(platform.write_key, ""))

    tried()
