"""Makes the client that waits from the one that does not, so that there is one to write and none to forget.

    python clients/python/unasync.py          # writes audience_client/synchronous.py
    python clients/python/unasync.py --check  # says whether it is as it would be written

By the words of the text, as httpx and httpcore do it; ruff puts the imports in order and sets the lines.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parent / "audience_client"
SOURCE, MADE = CLIENT / "asynchronous.py", CLIENT / "synchronous.py"

WORDS = (
    (r"code that does not wait\. .*", 'code that waits. Made from asynchronous.py."""'),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bfor (\w+) in (.*):\n +yield \1\n", r"yield from \2\n"),
    (r"\bawait ", ""),
    (r"\basyncio\b", "time"),
    (r"\bAsync(AudienceClient|Iterator|Client|BaseTransport)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|read|iter_lines|iter_bytes)\b", r"\1"),
)


def made() -> str:
    """The text of the client that waits."""
    text = SOURCE.read_text(encoding="utf-8")
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    for arguments in (("check", "--select", "I", "--fix", "--quiet"), ("format", "--quiet")):
        ruff = [str(Path(sys.executable).with_name("ruff")), *arguments, "--stdin-filename", str(MADE), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


def main() -> int:
    """Write it, or compare."""
    if "--check" not in sys.argv[1:]:
        MADE.write_text(made(), encoding="utf-8")
    elif MADE.read_text(encoding="utf-8") != made():
        sys.stderr.write("audience_client/synchronous.py is not up to date: run clients/python/unasync.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
