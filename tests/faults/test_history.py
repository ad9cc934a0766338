"""The sample history while parts die under it: every size is right in the end."""

from pathlib import Path

from local.sample import plan
from local.sample.segments import SEGMENTS
from tests.integration.local.running import LocalPlatform, platform_in, stopped_afterwards, wait_until


def sent(platform: LocalPlatform) -> int:
    known = plan.load(platform.layout.sample)
    return known.sent if known else 0


def test_a_taskmanager_and_the_broker_are_killed_while_the_history_flows(tmp_path: Path) -> None:
    with stopped_afterwards(platform_in(tmp_path, sample="1")) as platform:
        start = platform.begin("up")
        killed = []
        for part, after in (("taskmanager-1", 8_000), ("kafka", 24_000), ("taskmanager-2", 40_000)):
            wait_until(f"{after} purchases are sent", lambda after=after: sent(platform) >= after)  # type: ignore[misc]
            killed.append(platform.kill(part))
        said, _ = start.communicate(timeout=600)
        assert start.returncode == 0, said
        assert said.count("equal") == len(SEGMENTS), said
        assert {program.pid for program in platform.programs().values()}.isdisjoint(killed)
        # It is over: nothing is sent again, and all sizes are right still.
        again = platform.up()
        assert "not sent again" in again
        assert again.count("equal") == len(SEGMENTS), again
