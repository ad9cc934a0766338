"""The parts of the engine's mutation testing that need no engine."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.engine_mutants import ROOT, Mutant, Outcome, Result, run, sampled, wilson

MUTANTS = [
    Mutant(f"core/src/{file}.rs:{line}:1: change", f"core/src/{file}.rs", "") for file in "abc" for line in range(99)
]


def test_one_seed_gives_one_sample_whatever_the_order_of_the_list() -> None:
    sample = sampled(MUTANTS, 40, seed=7)
    assert sampled(MUTANTS[::-1], 40, seed=7) == sample
    assert len(set(sample)) == 40
    assert sampled(MUTANTS, 40, seed=8) != sample


def test_a_sample_is_of_the_files_that_are_wanted_and_no_more_than_there_are() -> None:
    assert {each.file for each in sampled(MUTANTS, 40, 1, ["core/src/b.rs"])} == {"core/src/b.rs"}
    assert len(sampled(MUTANTS, 1_000, 1, ["*/a.rs", "*/c.rs"])) == 198


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(85, 100, 0.7672, 0.9069), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_interval(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=1e-4)


def test_a_patch_names_the_file_on_both_sides() -> None:
    mutant = Mutant(
        "a.rs:1:1: replace + with -", "a.rs", "--- a.rs\n+++ replace + with -\n@@ -1 +1 @@\n-1 + 1\n+1 - 1\n"
    )
    assert mutant.patch == "--- a.rs\n+++ a.rs\n@@ -1 +1 @@\n-1 + 1\n+1 - 1\n"


def test_what_does_not_compile_is_not_counted() -> None:
    outcomes = [Outcome.KILLED] * 3 + [Outcome.ALIVE] + [Outcome.UNVIABLE] * 5
    result = Result(list(zip(MUTANTS, outcomes, strict=False)))
    assert result.share == 0.75
    lines = str(result).splitlines()
    assert lines[:2] == ["alive: core/src/a.rs:3:1: change", "core/src/a.rs: 3 killed, 1 alive, 5 unviable"]
    assert lines[2].startswith("all: 3 killed, 1 alive, 5 unviable: 75.0% (95% interval 30.1% to 95.4%)")


@pytest.mark.parametrize("program", ["while True: pass", "x = bytearray(1 << 33)"], ids=["time", "memory"])
def test_what_takes_too_much_fails(program: str) -> None:
    assert run((sys.executable, "-c", program), Path(), {}, cpu_s=1).status != 0


def test_a_test_that_hangs_ends_its_process() -> None:
    program = "from tests import unshrunk\nunshrunk.TEST_CPU_S = 0.1\nunshrunk.pytest_runtest_setup()\nwhile True: pass"
    ended = run((sys.executable, "-c", program), ROOT, dict(os.environ), cpu_s=60)
    assert ended.status == -signal.SIGPROF


def test_a_command_gets_its_input_and_gives_its_output() -> None:
    ended = run((sys.executable, "-c", "print(input())"), Path(), {}, stdin="said\n")
    assert (ended.status, ended.output) == (0, "said\n")
