"""How much memory processes have at most while something runs."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

_EVERY_S = 0.1
_MIB = 1024 * 1024


@contextmanager
def peaks(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """The largest so far by name, in MiB resident, of each process with all below it; looked at all the time.

    Whose process ends keeps what it had.
    """
    found = dict.fromkeys(pids, 0.0)
    ended = threading.Event()

    def look() -> None:
        for name, pid in pids.items():
            found[name] = max(found[name], round(_rss(pid) / _MIB, 1))

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            look()

    look()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def _rss(pid: int) -> int:
    total = 0
    try:
        head = psutil.Process(pid)
        for process in (head, *head.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total
