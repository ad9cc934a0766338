"""The Profile API in Segment's shape, from events sent to what it tells of them."""

import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.integration.segments.conftest import World, until

pytestmark = pytest.mark.platform


def path(person: str, part: str, kind: str = "user_id") -> str:
    return f"/v1/spaces/demo/collections/users/profiles/{kind}:{person}/{part}"


@pytest.fixture
async def ada(platform: Any, world: World) -> str:
    """A profile with three traits and five events, one of them too old. None counts in a segment of the sample."""
    person = f"ada-{secrets.token_hex(5)}"
    old = (datetime.now(UTC) - timedelta(days=15)).isoformat()
    batch = [
        {
            "type": "identify",
            "traits": {"email": f"{person}@example.com", "plan": "pro", "age": 36},
            "anonymousId": "browser-1",
            "context": {"externalIds": [{"id": f"crm-{person}", "type": "crm_id", "collection": "users"}, {"id": 7}]},
        },
        {"type": "group", "groupId": f"team-{person}", "traits": {"email": "team@example.com"}},
        {"type": "track", "event": "Cart Viewed", "timestamp": old, "messageId": f"{person}-old"},
        *({"type": "track", "event": "Parcel Returned", "properties": {"total": 5}} for _ in range(2)),
        {"type": "page", "name": "Home"},
    ]
    body = {"batch": [{"userId": person, **each} for each in batch]}
    async with httpx.AsyncClient(base_url=platform.ingest_url, auth=(platform.write_key, "")) as ingest:
        answer = await ingest.post("/v1/batch", json=body)
    assert answer.status_code == 200

    async def known() -> int:
        answer = await world.api.get(path(person, "events"), params={"limit": 200})
        return len(answer.json()["data"]) if answer.status_code == 200 else 0

    await until(known, 5)
    return person


async def test_traits(world: World, ada: str) -> None:
    told = await world.get(path(ada, "traits"))
    assert set(told) == {"traits", "cursor"}
    assert told["traits"] == {"age": 36, "email": f"{ada}@example.com", "plan": "pro"}
    assert set(told["cursor"]) == {"url", "has_more", "next", "limit"}
    first = await world.get(path(ada, "traits"), limit=2)
    assert (list(first["traits"]), first["cursor"]["has_more"]) == (["age", "email"], True)
    rest = await world.get(path(ada, "traits"), limit=2, next=first["cursor"]["next"])
    assert (list(rest["traits"]), rest["cursor"]["has_more"]) == (["plan"], False)
    assert (await world.get(path(ada, "traits"), include="plan,none"))["traits"] == {"plan": "pro"}
    assert (await world.get(path(ada, "traits"), **{"class": "audience"}))["traits"] == {}
    verbose = (await world.get(path(ada, "traits"), verbose="true", include="plan"))["traits"]["plan"]
    assert set(verbose) == {"value", "source_id", "updated_at"}
    assert (verbose["value"], verbose["source_id"]) == ("pro", "demo")
    key, bob = await world.segment(), world.person("bob")
    await world.put({bob: [key]}, plan="free")
    await until(lambda: world.size(key), 1)
    assert (await world.get(path(bob, "traits")))["traits"] == {key: True, "plan": "free"}
    assert (await world.get(path(bob, "traits"), **{"class": "audience"}))["traits"] == {key: True}


async def test_ids_events_and_metadata(world: World, ada: str) -> None:
    ids = (await world.get(path(ada, "external_ids")))["data"]
    assert {(each["type"], each["id"]) for each in ids} == {
        ("user_id", ada), ("anonymous_id", "browser-1"), ("email", f"{ada}@example.com"), ("crm_id", f"crm-{ada}"),
        ("group_id", f"team-{ada}"),
    }  # fmt: skip
    assert set(ids[0]) == {
        "id", "type", "source_id", "collection", "created_at", "encoding", "first_message_id",
    }  # fmt: skip
    events = (await world.get(path(ada, "events"), limit=200))["data"]
    assert [each["event"] for each in events].count("Parcel Returned") == 2
    assert "Cart Viewed" not in [each["event"] for each in events]  # 15 days ago
    times = [each["timestamp"] for each in events]
    assert times == sorted(times, reverse=True)
    assert set(events[0]) == {
        "external_ids", "context", "type", "message_id", "source_id", "timestamp", "properties", "event", "related",
    }  # fmt: skip
    orders = await world.get(path(ada, "events"), include="Parcel Returned", limit=1, sort="asc")
    assert (orders["data"][0]["properties"], orders["cursor"]["has_more"]) == ({"total": 5}, True)
    others = (await world.get(path(ada, "events"), exclude="Parcel Returned", limit=200))["data"]
    assert {each["type"] for each in others} == {"identify", "group", "page"}
    assert (await world.get(path(ada, "events"), end="2020-01-01"))["data"] == []
    metadata = (await world.get(path(ada, "metadata")))["metadata"]
    assert (metadata["first_source_id"], metadata["expires_at"]) == ("demo", None)
    assert (await world.get(path(ada, "links")))["data"] == []


async def test_every_type_of_id(world: World, ada: str) -> None:
    async def found(kind: str, value: str) -> Any:
        answer = await world.api.get(path(value, "traits", kind), params={"include": "email"})
        return answer.json().get("traits", answer.status_code)

    for kind, value in (("email", f"{ada}@example.com"), ("group_id", f"team-{ada}"), ("crm_id", f"crm-{ada}")):
        await until(lambda kind=kind, value=value: found(kind, value), {"email": f"{ada}@example.com"})
        assert await found(kind, f"not-{value}") == 404
        assert await found("user_id", value) == 404
    await until(lambda: found("anonymous_id", "browser-1"), {"email": f"{ada}@example.com"})
    assert await found("email", "team@example.com") == 404  # the group's


async def test_errors(platform: Any, world: World, ada: str) -> None:
    for wrong, status, code in (
        (path(f"nobody-{ada}", "traits"), 404, "not_found"),
        (path(ada, "traits", "shoe_size"), 404, "not_found"),
        (path(ada, "traits").replace("users", "accounts"), 404, "not_found"),
        (path(ada, "traits").replace("users", "cats"), 422, "validation_error"),
        (path(ada, "traits?limit=201"), 422, "validation_error"),
        (path(ada, "events?start=x"), 422, "validation_error"),
        (path(ada, "traits").replace("user_id:", ""), 422, "validation_error"),
    ):
        answer = await world.api.get(wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), wrong
        assert set(answer.json()) == {"error"}
        assert answer.headers["Request-Id"]
    basic = base64.b64encode(f"{platform.api_token}:".encode()).decode()
    async with httpx.AsyncClient(base_url=platform.segments_url) as anybody:
        answer = await anybody.get(path(ada, "traits"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "authentication_error")
        assert (await anybody.get(path(ada, "traits"), headers={"Authorization": f"Basic {basic}"})).status_code == 200
