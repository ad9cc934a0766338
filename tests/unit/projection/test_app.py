"""The projection as a service: two loops, each on its own."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services._kit.demo import DemoCredentialsPresent
from services.projection.app import EXTERNAL_IDS, MEMBERSHIP_INDEX, PROFILE_STORE, Ports, group_of, projection_app
from services.projection.settings import ProjectionSettings
from tests.integration.contracts.memory import MemoryEvaluationProgress, MemoryEventLog, MemoryMembershipIndex
from tests.unit.projection.test_progress import Log
from tests.unit.projection.test_sink import Store, Topic, record


def settings(**changes: object) -> ProjectionSettings:
    return ProjectionSettings(postgres_dsn=SecretStr("postgresql://x"), **changes)  # type: ignore[arg-type]


class Outside:
    def __init__(self) -> None:
        self.store, self.index, self.log = Store(), MemoryMembershipIndex(), MemoryEventLog()
        self.ids = MemoryMembershipIndex()
        self.pipeline, self.progress = Log(), MemoryEvaluationProgress()
        self.topics = {PROFILE_STORE: Topic(), MEMBERSHIP_INDEX: Topic()}

    async def open(self, _: AsyncExitStack) -> Ports:
        return Ports(
            self.log,
            {
                PROFILE_STORE: (self.store, self.topics[PROFILE_STORE]),
                MEMBERSHIP_INDEX: (self.index, self.topics[MEMBERSHIP_INDEX]),
                EXTERNAL_IDS: (self.ids, Topic()),
            },
            self.pipeline,
            self.progress,
        )


async def test_a_store_that_is_away_stops_neither_the_other_nor_the_service() -> None:
    outside = Outside()
    outside.store.away = True
    app = projection_app(settings(projection_retry_max_s=0.05), CollectorRegistry(), outside.open)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        for topic in outside.topics.values():
            await topic.queue.put([record("a")])
        async with asyncio.timeout(5):
            while not outside.index.profiles:  # noqa: ASYNC110  it has no event to wait for
                await asyncio.sleep(0.01)
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        states = {name: each["status"] for name, each in answer.json()["dependencies"].items()}
        assert states == {"kafka": "ok", "profile-store": "away", "membership-index": "ok", "external-ids": "ok"}
        assert outside.topics[PROFILE_STORE].committed == []
        outside.store.away = False
        async with asyncio.timeout(5):
            while not outside.topics[PROFILE_STORE].committed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await client.get("/readyz")).status_code == 200
        metrics = (await client.get("/metrics")).text
        assert 'projection_sink_available{sink="profile-store"} 1.0' in metrics


async def test_only_one_loop_reports_what_is_bad() -> None:
    outside = Outside()
    app = projection_app(settings(), CollectorRegistry(), outside.open)
    bad = record("a")._replace(value=b"no profile")
    async with app.router.lifespan_context(app):
        for topic in outside.topics.values():
            await topic.queue.put([bad])
        async with asyncio.timeout(5):
            while not all(topic.committed for topic in outside.topics.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert len(outside.log.records) == 1


async def test_production_refuses_demo_credentials_in_its_settings() -> None:
    wrong = settings(environment="production", host="demo-api-token")
    app = projection_app(wrong, CollectorRegistry(), Outside().open)
    with pytest.raises(DemoCredentialsPresent, match="AUDIENCE_HOST"):
        async with app.router.lifespan_context(app):
            pass


def test_groups() -> None:
    assert [group_of(each) for each in (PROFILE_STORE, MEMBERSHIP_INDEX)] == [
        "projection.profile-store",
        "projection.membership-index",
    ]


@pytest.mark.parametrize("hosts", ["nowhere", "a:b", "a:1,b", ":3000"])
def test_hosts_of_another_form_are_refused(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROSPIKE_HOSTS", hosts)
    with pytest.raises(ValueError, match="host:port"):
        settings()


def test_hosts_come_from_their_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROSPIKE_HOSTS", "a:3000,b:3001")
    assert settings().aerospike_hosts == "a:3000,b:3001"
