"""What each scenario offers, second by second, as data; and when each request of it is due.

Open loop: requests are due at their own times, whatever the answers take. Rates are those of the whole scenario; each
of its users carries an equal part. Refuses a scenario without a judged phase with ValueError.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

Column = Literal["demo", "production"]


@dataclass(frozen=True, slots=True)
class Phase:
    """So many seconds, in which the share of the scenario's rates goes evenly from `begins` to `ends`."""

    seconds: float
    begins: float
    ends: float
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is offered. `scale` says how much of the column's throughput the scenario asks for."""

    name: str
    column: Column
    events_per_s: float
    requests_per_s: float
    users: int
    phases: tuple[Phase, ...]
    scale: float = 1.0
    batch: int = 10
    single_share: float = 0.2
    """Of the events: those that come alone, as from browsers."""
    segments: int = 50
    late_share: float = 0.02
    duplicate_share: float = 0.01
    bad_share: float = 0.0
    writes: bool = False
    """Whether a small share of the requests changes segments."""
    refusals: bool = False
    """Whether 429 and 503 are answers that may be given; errors they remain none the less in phases that are judged."""
    profiles: int = 10_000

    def __post_init__(self) -> None:
        if not any(phase.judged for phase in self.phases):
            raise ValueError(f"no phase of {self.name} is judged")

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def share_at(self, second: float) -> float:
        """The share of the rates at a moment; 0 after the end."""
        for phase in self.phases:
            if second < phase.seconds:
                return phase.begins + (phase.ends - phase.begins) * second / phase.seconds
            second -= phase.seconds
        return 0.0

    def judged(self, second: int) -> bool:
        """Whether this whole second lies in a phase that is judged."""
        for phase in self.phases:
            if second < phase.seconds:
                return phase.judged and second + 1 <= phase.seconds
            second -= phase.seconds
        return False

    def scaled(self, factor: float) -> "Scenario":
        """The same shape with so many times the rates and users."""
        return replace(
            self,
            events_per_s=self.events_per_s * factor,
            requests_per_s=self.requests_per_s * factor,
            users=max(1, round(self.users * factor)),
            scale=self.scale * factor,
        )

    def lasting(self, seconds: float) -> "Scenario":
        """The same shape, longer or shorter."""
        factor = seconds / self.seconds
        return replace(self, phases=tuple(replace(each, seconds=each.seconds * factor) for each in self.phases))


def due_times(phases: Sequence[Phase], rate: float, first: float) -> Iterator[float]:
    """When each request is due, in seconds from the start: the k-th when `first` + k requests were to have been sent.

    `first`, from 0 to 1, keeps users out of step. In each phase rates are linear, so what is due is a parabola.
    """
    wanted = first
    done = at = 0.0
    for phase in phases:
        begins, ends = phase.begins * rate, phase.ends * rate
        total = (begins + ends) / 2 * phase.seconds
        slope = (ends - begins) / phase.seconds
        while wanted < done + total:
            yield at + _moment(begins, slope, wanted - done)
            wanted += 1.0
        done += total
        at += phase.seconds


def _moment(begins: float, slope: float, count: float) -> float:
    """When `count` requests are due where the rate is `begins` + `slope` x t."""
    if not count:
        return 0.0
    if abs(slope) < 1e-12:
        return count / begins
    root: float = (begins * begins + 2 * slope * count) ** 0.5
    return 2 * count / (begins + root)  # the stable form of (root - begins) / slope


def _steady(seconds: float, warm_s: float = 10.0) -> tuple[Phase, ...]:
    return (Phase(warm_s, 0.2, 1.0, judged=False), Phase(seconds, 1.0, 1.0))


DEMO: Final = Scenario("demo", "demo", 500, 100, 20, _steady(120))
PRODUCTION: Final = Scenario(
    "production-shape",
    "production",
    50_000,
    10_000,
    10_000,
    (Phase(180, 0.05, 1.0, judged=False), Phase(60, 1.0, 1.0)),
    batch=100,
    single_share=0.02,
    segments=200,
    profiles=1_000_000,
)

SCENARIOS: Final[Mapping[str, Scenario]] = {
    each.name: each
    for each in (
        replace(DEMO.scaled(0.1), name="smoke", phases=_steady(15, 5)),
        DEMO,
        PRODUCTION,
        replace(
            DEMO,
            name="spike",
            phases=(
                Phase(30, 1, 1, judged=False),
                Phase(30, 10, 10, judged=False),
                Phase(30, 1, 1, judged=False),  # what has piled up may drain
                Phase(60, 1, 1),
            ),
            refusals=True,
        ),
        replace(DEMO, name="soak", phases=_steady(3_600, 60), batch=50),
        replace(DEMO, name="mixed", late_share=0.1, duplicate_share=0.1, bad_share=0.02, writes=True),
    )
}
