"""The JSON of answers: the shapes of docs/api.md, encoded straight from what the stores gave."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from starlette.responses import Response

from audience.ports.backfills import Backfill
from audience.ports.catalog import SavedComputedTrait, Segment, UploadedList
from audience.ports.memberships import Change
from audience.profiles.model import Membership, Profile
from audience.rules.dates import format_ms

JSON: Final = "application/json"
_encode: Final = msgspec.json.Encoder().encode


def memberships_json(profile_id: str, memberships: Iterable[Membership], shown: frozenset[str], now_ms: int) -> bytes:
    """``{"profile_id", "segments": [{"key", "since"}], "as_of"}``: those of the segments in `shown`."""
    return _encode(
        {
            "profile_id": profile_id,
            "segments": [
                {"key": each.segment, "since": instant(each.since_ms)} for each in memberships if each.segment in shown
            ],
            "as_of": instant(now_ms),
        }
    )


def instant(at_ms: int) -> str:
    """`format_ms`, four times as fast where seconds recur, as they do in the hottest read."""
    second, ms = divmod(at_ms, 1_000)
    return f"{_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=100_000)
def _second(second: int) -> str:
    return format_ms(second * 1_000).removesuffix(".000Z")


def profile_json(profile: Profile, shown: frozenset[str]) -> bytes:
    """A profile with the keys of its segments that are in `shown`."""
    return _encode(
        {
            "profile_id": profile.profile_id,
            "traits": profile.traits,
            "computed": profile.computed,
            "segments": [each.segment for each in profile.segments if each.segment in shown],
            "version": profile.version,
            "updated_at": instant(profile.updated_ms),
        }
    )


def segment_json(
    segment: Segment, size: int, evaluated_ms: int | None, backfill: Backfill | None, now_ms: int
) -> dict[str, Any]:
    """A segment as its author gave it, with what the platform adds; its last backfill, null where there was none."""
    return {
        "key": segment.key,
        "name": segment.name,
        "description": segment.description,
        "rule": segment.rule,
        "tags": list(segment.tags),
        "status": segment.status,
        "version": segment.version,
        "size": size,
        "created_at": format_ms(segment.created_ms),
        "updated_at": format_ms(segment.updated_ms),
        "evaluated_at": None if evaluated_ms is None else instant(evaluated_ms),
        "backfill": None if backfill is None else backfill_json(backfill, now_ms),
    }


def backfill_json(backfill: Backfill, now_ms: int) -> dict[str, Any]:
    """How far a backfill is: profiles done of all, and seconds left where that can be told."""
    return {
        "number": backfill.number,
        "version": backfill.version,
        "state": backfill.state,
        "reason": backfill.reason,
        "phase": backfill.phase if backfill.state == "running" else None,
        "profiles_done": backfill.done,
        "profiles_total": backfill.profiles,
        "seconds_left": backfill.seconds_left(now_ms),
        "created_at": format_ms(backfill.created_ms),
        "ended_at": None if backfill.ended_ms is None else format_ms(backfill.ended_ms),
    }


def change_json(change: Change) -> dict[str, Any]:
    """A change of a segment's members."""
    return {
        "seq": change.seq,
        "profile_id": change.profile_id,
        "change": "entered" if change.entered else "exited",
        "at": instant(change.at_ms),
        "version": change.version,
    }


def list_json(found: UploadedList) -> dict[str, Any]:
    """An uploaded list, without those on it."""
    return {
        "key": found.key,
        "name": found.name,
        "size": found.size,
        "created_at": format_ms(found.created_ms),
        "updated_at": format_ms(found.updated_ms),
    }


def computed_trait_json(trait: SavedComputedTrait) -> dict[str, Any]:
    """A computed trait as its author gave it."""
    return {
        **trait.definition,
        "key": trait.key,
        "created_at": format_ms(trait.created_ms),
        "updated_at": format_ms(trait.updated_ms),
    }


def json_response(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer, encoded by msgspec."""
    return Response(_encode(body), status, dict(headers or {}), media_type=JSON)
