"""Load by wrk: connections that each wait for an answer before they ask again, as fast as they are answered."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_suffix(".lua")
_SPARE_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. `broken` are connections that ended in the middle, `told_to_wait` answers with Retry-After.

    `statuses` and `told_to_wait` are known where answers were counted.
    """

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float
    not_2xx: int
    broken: int
    timeouts: int
    told_to_wait: int
    statuses: Mapping[str, int] = field(default_factory=dict)


def wrk(
    host: str,
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    timeout_s: float = 10.0,
    counted: bool = False,
) -> Load:
    """Send `requests`, whole HTTP requests each, in turn. A timeout is an answer that takes longer than `timeout_s`."""
    program = shutil.which("wrk")
    if program is None:
        sys.exit("this needs wrk: `apt-get install wrk`, or https://github.com/wg/wrk")
    with tempfile.NamedTemporaryFile() as file:
        for request in requests:
            file.write(b"%08d" % len(request) + request)
        file.flush()
        command = [
            *(program, "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s"),
            *("--timeout", f"{round(timeout_s)}s", "--script", str(SCRIPT), f"http://{host}:{port}"),
        ]
        done = subprocess.run(  # noqa: S603  our own command
            command,
            env={**os.environ, "WRK_REQUESTS": file.name, "WRK_COUNTED": "yes" if counted else ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=seconds + timeout_s + _SPARE_S,
            check=False,
        )
    if done.returncode:
        sys.exit(f"wrk failed: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return Load(**found)
