"""What is known of the sending of the sample history, in a file in the data folder.

It holds the number of days that dates are moved by, from the first event on, so that a sending that was broken off
goes on with the same dates; and up to where it came. `make reset` removes it with the events themselves.
"""

import os
from pathlib import Path

import msgspec


class BrokenPlan(Exception):
    """The file cannot be read."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`sent` purchases from the file's start have been accepted. `complete`: they were all found to have counted."""

    shift_days: int
    sent: int = 0
    complete: bool = False


def load(file: Path) -> Plan | None:
    """The plan; None where nothing was ever sent. Raises BrokenPlan."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Plan)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise BrokenPlan(f"{file} cannot be read ({error}). `make reset` begins anew.") from error


def save(file: Path, plan: Plan) -> None:
    """Write it whole or not at all."""
    new = file.with_suffix(".new")
    with new.open("wb") as out:
        out.write(msgspec.json.encode(plan))
        out.flush()
        os.fsync(out.fileno())
    new.rename(file)
