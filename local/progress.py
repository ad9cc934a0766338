"""What a start prints: a line for each part when it is there, with how long it took."""

import time
from threading import Lock

from rich.console import Console
from rich.markup import escape

from local.model import Node, Part


class Progress:
    """Prints to a console, from any thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        with self._lock:
            self._console.print(text, highlight=False, soft_wrap=True)

    def done(self, node: Node, took_s: float, said: str) -> None:
        """A part is healthy, or a step done. Steps that took no time are not worth a line."""
        if not isinstance(node, Part) and took_s < 0.2:
            return
        what = f"[dim]{escape(said)}[/dim]" if said else ""
        self.say(f"  [green]✓[/green] {node.title:<20} {took_s:5.1f} s  {what}")
