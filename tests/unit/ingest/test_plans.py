"""Tracking plans at the door: counted, flagged or blocked; read anew; kept while the catalog is away."""

import asyncio
from typing import Any

from audience.ports.stores import StoreUnavailable
from audience.wire.topics import PlanViolation
from services.ingest import plans as module
from tests.unit.ingest.fakes import MemoryPlans, running

SCHEMA = {"properties": {"properties": {"required": ["total"]}}}
BROKEN = {"type": "track", "userId": "u", "event": "Order Completed", "messageId": "1", "properties": {"x": 1}}
KEPT = {**BROKEN, "messageId": "2", "properties": {"total": 1}}


def plan(mode: str, **more: Any) -> dict[str, Any]:
    return {"mode": mode, "events": {"Order Completed": SCHEMA}, **more}


LABELS = {"workspace": "demo", "source": "shop", "code": "plan_violation"}


async def test_blocked_events_are_bad_events_and_the_rest_of_the_batch_is_not() -> None:
    plans = MemoryPlans({"shop": plan("block")})
    async with running(plans=plans) as service:
        assert (await service.post("/v1/batch", {"batch": [BROKEN, KEPT]})).status_code == 200
        assert [event.message_id for event in service.log.events] == ["2"]
        [bad] = service.log.bad
        assert (bad.code, bad.path) == ("plan_violation", "/properties")
        assert b'"x"' in bad.original
        assert service.metric("ingest_plan_violations_total", {**LABELS, "mode": "block"}) == 1
    [count] = plans.counted  # when it stops, if not before
    assert (count.event, count.code, count.mode, count.events, count.last_path) == (
        "Order Completed", "plan_violation", "block", 1, "/properties",
    )  # fmt: skip


async def test_flagged_events_carry_their_violation_and_allowed_ones_are_counted_alone() -> None:
    async with running(plans=MemoryPlans({"shop": plan("flag")})) as service:
        await service.post("/v1/batch", {"batch": [BROKEN, KEPT]})
        flagged, kept = service.log.events
        assert flagged.violation == PlanViolation("plan_violation", "/properties", '"total" is a required property')
        assert kept.violation is None
    async with running(plans=MemoryPlans({"shop": plan("allow")})) as service:
        await service.post("/v1/track", BROKEN)
        assert [event.violation for event in service.log.events] == [None]
        assert service.metric("ingest_plan_violations_total", {**LABELS, "mode": "allow"}) == 1


async def test_a_plan_is_in_effect_at_run_time_and_gone_again() -> None:
    plans = MemoryPlans()
    async with running(plans=plans, sources_refresh_s=0.01) as service:
        await service.post("/v1/track", BROKEN)
        await plans.put("demo", "shop", plan("block"), 0)
        await asyncio.sleep(0.1)
        await service.post("/v1/track", BROKEN)
        assert (len(service.log.events), len(service.log.bad)) == (1, 1)
        plans.fault = StoreUnavailable("PostgreSQL is away")
        await asyncio.sleep(0.05)
        await service.post("/v1/track", BROKEN)
        assert (len(service.log.events), len(service.log.bad)) == (1, 2)
        plans.fault = None
        await plans.delete("demo", "shop")
        await asyncio.sleep(0.1)
        await service.post("/v1/track", BROKEN)
        assert (len(service.log.events), len(service.log.bad)) == (2, 2)
    assert sum(each.events for each in plans.counted) == 2


async def test_nothing_is_judged_before_the_plans_were_read() -> None:
    plans = MemoryPlans()
    plans.fault = StoreUnavailable("PostgreSQL is away")
    async with running(plans=plans) as service:
        answer = await service.post("/v1/track", BROKEN)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


async def test_names_that_are_counted_apart_are_bounded() -> None:
    plans = MemoryPlans({"shop": {"unplanned": "allow"}})
    async with running(plans=plans) as service:
        batch = [{**BROKEN, "event": f"e{n}\0", "messageId": str(n)} for n in range(module.NAMES + 3)]
        await service.post("/v1/batch", {"batch": batch})
    names = {each.event: each.events for each in plans.counted}
    assert len(names) == module.NAMES + 1
    assert names[module.OTHER] == 3
    assert names["e0\ufffd"] == 1
