"""What a browser on a page of another origin needs."""

from typing import Any

import pytest

from tests.unit.ingest.fakes import KEY, Service, running

PREFLIGHT = {
    "Origin": "https://shop.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
}


@pytest.mark.parametrize("path", ["/v1/t", "/v1/batch", "/v1/m", "/v1/projects/any/settings"])
async def test_preflight(service: Service, path: str) -> None:
    answer = await service.http.options(path, headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "x-retry-count"} <= set(allowed)
    assert "*" not in allowed  # it would not cover authorization
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 600


@pytest.mark.parametrize(("path", "status"), [("/v1/t", 200), ("/v1/nope", 404), ("/v1/projects/x/settings", 404)])
async def test_answers_may_be_read_from_any_origin(service: Service, path: str, status: int) -> None:
    body = {"event": "E", "userId": "u1"}
    ask = service.http.get(path) if "projects" in path else service.post(path, body, headers={"Origin": "null"})
    answer = await ask
    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def settings_with(host: str, protocol: str = "http") -> dict[str, Any]:
    return {
        "integrations": {"Segment.io": {"apiKey": KEY, "apiHost": f"{host}/v1", "protocol": protocol}},
        "metrics": {"sampleRate": 0},
    }


@pytest.mark.parametrize("host", ["ingest.test:8081", "localhost", "127.0.0.1:8081", "[::1]:8081", "a_b.example"])
async def test_settings_name_the_host_that_was_asked(service: Service, host: str) -> None:
    answer = await service.http.get(f"/v1/projects/{KEY}/settings", headers={"Host": host})
    assert answer.status_code == 200
    assert answer.json() == settings_with(host)
    assert "max-age" in answer.headers["cache-control"]


async def test_a_host_that_is_none_is_not_repeated(service: Service) -> None:
    answer = await service.http.get(f"/v1/projects/{KEY}/settings", headers={"Host": 'x"/><script>'})
    assert "script" not in answer.text


async def test_settings_name_the_public_address() -> None:
    async with running(ingest_public_url="https://events.example.com") as service:
        answer = await service.http.get(f"/v1/projects/{KEY}/settings")
        assert answer.json() == settings_with("events.example.com", "https")


@pytest.mark.parametrize("key", ["nope", "%00", "a%2Fb"])
async def test_settings_of_an_unknown_key(service: Service, key: str) -> None:
    answer = await service.http.get(f"/v1/projects/{key}/settings")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_openapi_has_every_route(service: Service) -> None:
    schema = (await service.http.get("/openapi.json")).json()
    posts = {path for path, operations in schema["paths"].items() if "post" in operations}
    names = "identify track page screen group alias batch import i t p s g a b m".split()  # noqa: SIM905
    assert posts == {f"/v1/{name}" for name in names}
    assert "get" in schema["paths"]["/v1/projects/{write_key}/settings"]
    identifiers = [each["operationId"] for path in schema["paths"].values() for each in path.values()]
    assert len(identifiers) == len(set(identifiers))
    assert set(schema["paths"]["/v1/batch"]["post"]["responses"]) == {"200", "400", "401", "413", "429", "503"}
