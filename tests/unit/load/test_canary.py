"""The canary's service: tries at their own times, a metric for each, and few profiles."""

import asyncio

from prometheus_client import CollectorRegistry, generate_latest

from load_tests.canary import Metrics, serve
from load_tests.latency import Canary, NotMeasured, Spread, figures_of


class Scripted(Canary):
    """A canary whose first try arrives when it is released, and whose second never does."""

    def __init__(self) -> None:
        self.numbers: list[int | None] = []
        self.release, self.tenth = asyncio.Event(), asyncio.Event()

    async def enter(self, number: int | None = None) -> tuple[str, float]:
        self.numbers.append(number)
        if len(self.numbers) == 10:
            self.tenth.set()
        if number == 1:
            raise NotMeasured("it did not enter")
        if number == 0:
            await self.release.wait()
        return "profile", 0.5 if number == 0 else 0.001


async def test_each_try_is_counted_and_none_waits_for_another() -> None:
    registry = CollectorRegistry()
    stop, canary = asyncio.Event(), Scripted()
    samples: list[tuple[float, float, str]] = []
    running = asyncio.create_task(serve(canary, Metrics(registry), 0.02, lambda *each: samples.append(each), stop))
    await asyncio.wait_for(canary.tenth.wait(), 60)  # while the first is still under way
    canary.release.set()
    stop.set()
    await running
    text = generate_latest(registry).decode()
    assert f"audience_canary_membership_seconds_count {float(len(canary.numbers) - 1)}" in text
    assert "audience_canary_failures_total 1.0" in text
    assert "audience_canary_last_success_timestamp_seconds" in text
    assert max(seconds for _, seconds, _ in samples) >= 0.5
    assert [error for *_, error in samples if error] == ["NotMeasured: it did not enter"]
    assert canary.numbers[:3] == [0, 1, 2]


async def test_a_stop_ends_what_is_under_way() -> None:
    stop, canary = asyncio.Event(), Scripted()
    canary.release.set()
    running = asyncio.create_task(serve(canary, Metrics(CollectorRegistry()), 45.0, lambda *_: None, stop))
    await asyncio.sleep(0.01)
    stop.set()
    await running
    assert canary.numbers == [0]


def test_spreads_become_figures() -> None:
    found = {
        "event to membership": [0.01 * each for each in range(1, 101)],
        "due time to exit": [0.1, 0.2, 0.3],
        "new segment live": [0.05, 0.06],
    }
    told = {each.name: each.value for each in figures_of(found)}
    assert told["platform: event to membership, p50"] == Spread.of(found["event to membership"]).p50
    assert told["platform: new segment live everywhere"] == 55
