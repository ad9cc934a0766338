"""Mutation testing of the compiled engine: how many small changes of its code the tests notice.

cargo-mutants says which changes there are. A random sample of them is built one by one and tried in the tests that run
the engine; the first that fails ends the trial. `make mutation-engine ARGS="--sample 300 --seed 1"` is that. One seed
gives one sample. What does not compile says nothing and is not counted; what hangs or takes all memory is noticed.

Prints each mutant that lives, the figures of each file, and the share that was noticed. Exit status 1 below 85%.
Refuses a machine without cargo-mutants and an engine that fails unchanged.
"""

import argparse
import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ENGINE: Final = ROOT / "engine"
LIBRARY: Final = Path("target/debug/libaudience_engine.so")
LEAST: Final = 0.85
"""The share that is to be noticed."""

Z95: Final = 1.959964
"""The normal distribution's quantile for an interval of 95%."""

CPU_FACTOR: Final = 5
CPU_MORE_S: Final = 10
"""A stage may take so much more processor time than on the unchanged engine. Processor time, since a mutant that only
waits is not among them, and a busy machine takes its time."""

MEMORY_BYTES: Final = 4 << 30
"""Of addresses, for tests; one that goes on and on is not to take the machine's memory."""

_PYTEST: Final = (
    sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis",
    "-p", "tests.unshrunk", "--hypothesis-profile=unshrunk",
)  # fmt: skip


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    ALIVE = "alive"
    UNVIABLE = "unviable"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one file of the engine; `name` begins with the place."""

    name: str
    file: str
    diff: str

    @property
    def patch(self) -> str:
        """The diff as `git apply` takes it: cargo-mutants writes the change's name where the file's belongs."""
        before, _, hunks = self.diff.split("\n", 2)
        return f"{before}\n+++ {self.file}\n{hunks}"


@dataclass(frozen=True, slots=True)
class Stage:
    """Tests that run the engine, as a command."""

    command: tuple[str, ...]
    in_engine: bool = False


STAGES: Final = (
    # What notices most in the shortest time is first.
    Stage((*_PYTEST, "tests/conformance/test_engine.py", "tests/unit/engine")),
    Stage(("cargo", "test", "--quiet", "-p", "audience-engine-core"), in_engine=True),
    Stage((
        *_PYTEST, "tests/unit/jobs", "tests/unit/wire", "tests/conformance/test_page.py",
        "tests/unit/rules/test_canonical.py",
    )),
)  # fmt: skip


class NotPossible(Exception):
    """The machine or the engine is not as it must be for this."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended: its status (negative: the signal), what it printed, its processor time."""

    status: int
    output: str
    cpu_s: float


def run(
    command: Sequence[str], folder: Path, environment: dict[str, str], *, cpu_s: float | None = None, stdin: str = ""
) -> Ended:
    """Runs a command to its end. With `cpu_s` none of its processes may have more of it, nor more than the memory."""
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+", errors="replace") as printed:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603  the commands are above
            command, cwd=folder, env=environment, stdin=given, stdout=printed, stderr=subprocess.STDOUT
        )
        if cpu_s is not None:
            whole_s = math.ceil(cpu_s)
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (whole_s, whole_s + 5))
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        return Ended(process.returncode, printed.read(), usage.ru_utime + usage.ru_stime)


class Workshop:
    """A copy of the engine that is changed, built and tried; used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._engine = folder / "engine"
        self._package = folder / "packages" / "audience_engine"
        # Should the folder lie in a checkout: git would look for the changed files in that.
        self._environment = os.environ | {
            "PYO3_PYTHON": sys.executable,
            "CARGO_TARGET_DIR": str(self._engine / "target"),
            "CARGO_TERM_COLOR": "never",
            "GIT_CEILING_DIRECTORIES": str(folder),
            "PYTHONPATH": str(self._package.parent),
        }

    @classmethod
    def set_up(cls, folder: Path) -> "Workshop":
        """A workshop with the engine as it is, built."""
        shutil.copytree(ENGINE, folder / "engine", ignore=shutil.ignore_patterns("target"))
        workshop = cls(folder)
        installed = find_spec("audience_engine")
        if installed is None or installed.origin is None:
            raise NotPossible("the engine is not installed: sh local/bootstrap.sh")
        workshop._package.mkdir(parents=True)
        shutil.copy(installed.origin, workshop._package)
        if (failure := workshop.build()) is not None:
            raise NotPossible(f"the engine does not build:\n{failure}")
        return workshop

    def copy(self, folder: Path) -> "Workshop":
        """Another one, with what has been built."""
        shutil.copytree(self.folder, folder)
        return Workshop(folder)

    def build(self) -> str | None:
        """Builds the engine as it stands here, for the tests; what the compiler says against it."""
        ended = run(("cargo", "build", "--quiet", "-p", "audience-engine"), self._engine, self._environment)
        if ended.status:
            if "could not compile" not in ended.output:
                raise NotPossible(f"cargo build failed by something else than the engine's code:\n{ended.output}")
            return ended.output
        # Beside the place first: the library is never there in part, and never written while another process has it.
        library = self._package / "new"
        shutil.copy(self._engine / LIBRARY, library)
        library.replace(self._package / "audience_engine.abi3.so")
        return None

    def passes(self, stage: Stage, cpu_s: float | None = None) -> Ended:
        """What a stage says of the engine that was built last."""
        folder = self._engine if stage.in_engine else ROOT
        return run(stage.command, folder, self._environment, cpu_s=cpu_s)

    def measure(self) -> list[float]:
        """The processor time of each stage on the engine as it is, which must pass."""
        wanted = self._package / "audience_engine.abi3.so"
        show = "import audience_engine.audience_engine as it; print(it.__file__)"
        ended = run((sys.executable, "-c", show), ROOT, self._environment)
        if ended.output.strip() != str(wanted):
            raise NotPossible(f"the tests would run another engine than {wanted}:\n{ended.output}")
        took_s = []
        for stage in STAGES:
            ended = self.passes(stage)
            if ended.status:
                raise NotPossible(f"the engine fails unchanged: {' '.join(stage.command)}\n{ended.output}")
            took_s.append(ended.cpu_s)
        return took_s

    def trial(self, mutant: Mutant, limits_s: Sequence[float]) -> Outcome:
        """Changes the engine, tries it, and changes it back. `limits_s` are the stages' processor times."""
        source = self._engine / mutant.file
        unchanged = source.read_bytes()
        try:
            applied = run(("git", "apply", "-p0", "-"), self._engine, self._environment, stdin=mutant.patch)
            if applied.status or source.read_bytes() == unchanged:
                raise NotPossible(f"git could not apply {mutant.name}:\n{applied.output}")
            if self.build() is not None:
                return Outcome.UNVIABLE
            for stage, limit_s in zip(STAGES, limits_s, strict=True):
                if self.passes(stage, limit_s).status:
                    return Outcome.KILLED
            return Outcome.ALIVE
        finally:
            source.write_bytes(unchanged)


def listed() -> list[Mutant]:
    """Every mutant of the engine, as cargo-mutants lists them."""
    if run(("cargo", "mutants", "--version"), ENGINE, dict(os.environ)).status:
        raise NotPossible("cargo-mutants is not installed, or not on PATH: cargo install --locked cargo-mutants")
    ended = run(("cargo", "mutants", "--list", "--json", "--diff"), ENGINE, dict(os.environ))
    if ended.status:
        raise NotPossible(f"cargo mutants failed:\n{ended.output}")
    return [Mutant(each["name"], each["file"], each["diff"]) for each in json.loads(ended.output)]


def sampled(mutants: Sequence[Mutant], count: int, seed: int, files: Sequence[str] = ()) -> list[Mutant]:
    """So many mutants at random, in random order; all of them where there are fewer. `files` are patterns."""
    wanted = [each for each in mutants if not files or any(fnmatch(each.file, pattern) for pattern in files)]
    wanted.sort(key=lambda each: (each.name, each.diff))
    return random.Random(seed).sample(wanted, min(count, len(wanted)))  # noqa: S311  a sample, no secret


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of which `hits` of `trials` are known."""
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    middle = share + Z95**2 / (2 * trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + Z95**2 / (4 * trials**2))
    whole = 1 + Z95**2 / trials
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of each mutant of a sample."""

    outcomes: Sequence[tuple[Mutant, Outcome]]

    @property
    def share(self) -> float:
        """Of the mutants that compile, those that were noticed."""
        counts = Counter(outcome for _, outcome in self.outcomes)
        return counts[Outcome.KILLED] / max(1, counts[Outcome.KILLED] + counts[Outcome.ALIVE])

    def __str__(self) -> str:
        by_file: dict[str, Counter[Outcome]] = {}
        for mutant, outcome in self.outcomes:
            by_file.setdefault(mutant.file, Counter())[outcome] += 1
        total = sum(by_file.values(), Counter[Outcome]())
        lines = [f"alive: {mutant.name}" for mutant, outcome in sorted(self.outcomes, key=lambda each: each[0].name)
                 if outcome is Outcome.ALIVE]  # fmt: skip
        lines += [f"{file}: {_counts(counts)}" for file, counts in sorted(by_file.items())]
        low, high = wilson(total[Outcome.KILLED], total[Outcome.KILLED] + total[Outcome.ALIVE])
        lines.append(f"all: {_counts(total)}: {self.share:.1%} (95% interval {low:.1%} to {high:.1%})")
        return "\n".join(lines)


def _counts(counts: Counter[Outcome]) -> str:
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome)


def try_all(mutants: Sequence[Mutant], workers: int) -> Result:
    """What becomes of each, on so many copies of the engine at once."""
    if not mutants or workers < 1:
        raise NotPossible("there is no such mutant" if not mutants else "there must be a worker")
    with tempfile.TemporaryDirectory(prefix="engine-mutants-") as folder:
        first = Workshop.set_up(Path(folder) / "0")
        limits_s = [CPU_FACTOR * took_s + CPU_MORE_S for took_s in first.measure()]
        free: SimpleQueue[Workshop] = SimpleQueue()
        free.put(first)
        for number in range(1, workers):
            free.put(first.copy(Path(folder) / str(number)))

        def trial(mutant: Mutant) -> Outcome:
            workshop = free.get()
            try:
                return workshop.trial(mutant, limits_s)
            finally:
                free.put(workshop)

        outcomes = []
        with ThreadPoolExecutor(workers) as pool:
            try:
                for number, (mutant, outcome) in enumerate(zip(mutants, pool.map(trial, mutants), strict=True), 1):
                    outcomes.append((mutant, outcome))
                    print(f"{number}/{len(mutants)} {outcome}: {mutant.name}", file=sys.stderr, flush=True)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return Result(outcomes)


def main() -> int:
    """Try a sample; exit status 1 where less than the least share was noticed, 2 where nothing could be tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    parser.add_argument(
        "--files", nargs="+", default=(), help="only of these files, such as core/src/state.rs or */walk*"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many at once")
    arguments = parser.parse_args()
    try:
        result = try_all(sampled(listed(), arguments.sample, arguments.seed, arguments.files), arguments.workers)
    except NotPossible as reason:
        print(f"mutation testing: {reason}", file=sys.stderr)
        return 2
    print(result)
    return 0 if result.share >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
