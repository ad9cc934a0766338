"""What a figure was measured on: cores, processor, memory, kernel, and how busy the machine was."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """`load_1m` is the load average over a minute when it was asked: above `cores`, figures are too low."""

    cores: int
    processor: str
    memory_gib: float
    kernel: str
    python: str
    load_1m: float

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib:g} GiB, Linux {self.kernel}, "
            f"Python {self.python}, load average {self.load_1m:.1f}"
        )


def machine() -> Machine:
    """This machine now."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor_of(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")),
        memory_gib=round(pages * size / GIB, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        load_1m=round(os.getloadavg()[0], 2),
    )


def processor_of(cpuinfo: str) -> str:
    """The processor's name in /proc/cpuinfo; the machine's architecture where the kernel does not name it."""
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.machine()
