"""A plugin of pytest for mutation testing, `-p tests.unshrunk --hypothesis-profile=unshrunk`.

Generated examples are the same in every run, one that fails is not made smaller, and a test that takes too long ends
the process.
"""

import signal
from typing import Final

from hypothesis import Phase, settings

TEST_CPU_S: Final = 20
"""Processor time of one test; the slowest takes three."""

settings.register_profile(
    "unshrunk", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None, print_blob=False
)


def pytest_runtest_setup() -> None:
    # Without a handler the signal ends the process wherever it is; one of Python's would wait for the engine to return.
    signal.setitimer(signal.ITIMER_PROF, TEST_CPU_S)


def pytest_runtest_teardown() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
