"""The job beside the oracle: random rules and people over the whole path, with a restart in between.

tests/faults does the same for longer, under all kinds of harm.
"""

import pytest

from tests.faults.trial import Rules, Trial, while_sending
from tests.integration.local.running import LocalPlatform

pytestmark = pytest.mark.platform

PEOPLE = 150
EVENTS_PER_S = 120.0


async def test_every_membership_is_the_oracles(platform: LocalPlatform) -> None:
    trial = Trial(platform, Rules.random(40, first_pair=1))
    await trial.save_rules()
    try:
        await while_sending(
            trial.send(PEOPLE, 7_000_000, EVENTS_PER_S),
            # With one of its two TaskManagers gone the job begins again from its last checkpoint.
            lambda: platform.kill("taskmanager-1"),
        )
        await trial.settle()
        verdict = await trial.verdict()
    finally:
        await trial.remove_rules()
    assert verdict.compared > PEOPLE * 30
    assert verdict.members > PEOPLE
    assert not verdict.wrong, verdict.wrong[:20]
