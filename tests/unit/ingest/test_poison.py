"""Whatever comes in: a right status, never a 5xx, and of every event of an accepted request exactly one record."""

import json
import math
from typing import Any

import pytest

from tests.unit.ingest.fakes import Service
from tests.unit.ingest.poison import poisons

COUNT = 2_000


def walk(value: Any, depth: int = 1) -> int:
    """The depth of a value; fails on what a later part could not read."""
    if isinstance(value, dict):
        return max((walk(each, depth + 1) for each in (*value, *value.values())), default=depth)
    if isinstance(value, list):
        return max((walk(each, depth + 1) for each in value), default=depth)
    if isinstance(value, int | float):
        assert math.isfinite(float(value))
    if isinstance(value, str):
        value.encode()
    return depth


@pytest.mark.parametrize("seed", range(4))
async def test_poison(service: Service, seed: int) -> None:
    statuses: dict[int, int] = {}
    for poison in poisons(COUNT // 4, seed):
        service.log.topics.clear()
        answer = await service.http.post(poison.path, content=poison.body, headers=poison.headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code in {200, 400, 401, 413}, (answer.status_code, poison.path, poison.body[:300])
        if answer.status_code != 200:
            assert service.log.topics == {}
            continue
        events, bad = service.log.events, service.log.bad
        if poison.events is not None:
            assert len(events) + len(bad) == poison.events
        for event in events:
            assert event.profile_id
            assert "\0" not in event.profile_id
            assert event.time_ms <= event.received_ms
        for record in service.log.topics.get("events", ()):
            assert walk(json.loads(record.value or b"")) <= 110
        for told in bad:
            assert told.original in poison.body
    assert set(statuses) >= {200, 400, 401, 413}
