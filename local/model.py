"""What the platform is made of: parts, which run, and steps, which are done once a start. Data, no behaviour."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


class NotReady(Exception):
    """A part is not healthy (yet); the message says what is seen of it."""


Probe = Callable[[], str]
"""Gives a word on the part's state when it is healthy, and raises NotReady otherwise. Takes at most seconds."""

PYTHON_SERVICE_STOP_S: Final = 25
"""A service answers the requests in flight for up to 20 s; supervisord waits a little longer before it kills."""


@dataclass(frozen=True, slots=True)
class PortUse:
    """A port that a part listens on, and the setting that moves it."""

    number: int
    setting: str


@dataclass(frozen=True, slots=True)
class Part:
    """A process that supervisord keeps running."""

    name: str
    title: str
    command: tuple[str, ...]
    probe: Probe
    needs: tuple[str, ...] = ()
    address: str = ""
    ports: tuple[PortUse, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 15
    become: tuple[str, ...] = ()
    """A prefix that gives up rights. It stands first: to change the account takes the death signal away again."""
    death_signal: str = "KILL"
    """What it gets when supervisord dies."""
    stop_group: bool = False
    """Stop the part's children with it. Only for a part that starts commands of its own."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something done at each start before what needs it. Doing it twice changes nothing."""

    name: str
    title: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()


Node = Part | Step


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything, in the order in which it is shown."""

    nodes: tuple[Node, ...]
    links: tuple[tuple[str, str], ...]
    """What a person can open: title and address."""
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    """What the parts' own files hold: where it changes, the parts must be started anew."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Part))
