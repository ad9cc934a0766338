"""The API's answers as values. Fields that this version does not know are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Json = Mapping[str, Any]


def instant(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Membership:
    """A segment that a profile is in, and since when."""

    key: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Memberships:
    """The segments that a profile is in. ``"vip" in memberships`` asks for one."""

    profile_id: str
    segments: Sequence[Membership]
    as_of: datetime

    def __contains__(self, key: object) -> bool:
        return any(each.key == key for each in self.segments)

    @classmethod
    def of(cls, body: Json) -> "Memberships":
        """From an answer."""
        segments = [Membership(each["key"], instant(each["since"])) for each in body["segments"]]
        return cls(body["profile_id"], segments, instant(body["as_of"]))


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile. `version` only grows."""

    profile_id: str
    traits: Mapping[str, Any]
    computed: Mapping[str, Any]
    segments: Sequence[str]
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, body: Json) -> "Profile":
        """From an answer."""
        return cls(
            body["profile_id"],
            body["traits"],
            body["computed"],
            body["segments"],
            body["version"],
            instant(body["updated_at"]),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment. `etag` is what a write that must not overwrite another gives back.

    Every event accepted by `evaluated_at` counts in its memberships; None while it is not live, or not evaluated yet
    as it was saved last.
    """

    key: str
    name: str
    description: str
    rule: Mapping[str, Any]
    tags: Sequence[str]
    status: Literal["draft", "live", "paused", "archived"]
    version: int
    size: int
    created_at: datetime
    updated_at: datetime
    evaluated_at: datetime | None = None
    etag: str = ""

    @classmethod
    def of(cls, body: Json, etag: str = "") -> "Segment":
        """From an answer."""
        return cls(
            body["key"],
            body["name"],
            body["description"],
            body["rule"],
            body["tags"],
            body["status"],
            body["version"],
            body["size"],
            instant(body["created_at"]),
            instant(body["updated_at"]),
            instant(body["evaluated_at"]) if body.get("evaluated_at") else None,
            etag,
        )


@dataclass(frozen=True, slots=True)
class Version:
    """A rule that a segment has or had, as a sentence, and in words what is different from the one before."""

    version: int
    rule: Mapping[str, Any]
    description: str
    created_at: datetime
    changes: Sequence[str]

    @classmethod
    def of(cls, body: Json) -> "Version":
        """From an answer."""
        created_at = instant(body["created_at"])
        return cls(body["version"], body["rule"], body["description"], created_at, body["changes"])


@dataclass(frozen=True, slots=True)
class Member:
    """A profile that is in a segment, and since when."""

    profile_id: str
    since: datetime

    @classmethod
    def of(cls, body: Json) -> "Member":
        """From an answer."""
        return cls(body["profile_id"], instant(body["since"]))


@dataclass(frozen=True, slots=True)
class Change:
    """A profile entered or exited a segment. `seq` is where to go on."""

    seq: int
    profile_id: str
    change: Literal["entered", "exited"]
    at: datetime
    version: int

    @classmethod
    def of(cls, body: Json) -> "Change":
        """From an answer."""
        return cls(body["seq"], body["profile_id"], body["change"], instant(body["at"]), body["version"])


@dataclass(frozen=True, slots=True)
class Sample:
    """A size at an instant."""

    at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Size:
    """How many members a segment has, and had."""

    size: int
    as_of: datetime
    history: Sequence[Sample]

    @classmethod
    def of(cls, body: Json) -> "Size":
        """From an answer."""
        history = [Sample(instant(each["at"]), each["size"]) for each in body["history"]]
        return cls(body["size"], instant(body["as_of"]), history)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What segments share: `intersections` of every two and more of them."""

    sizes: Mapping[str, int]
    intersections: Mapping[frozenset[str], int]
    union: int

    @classmethod
    def of(cls, body: Json) -> "Overlap":
        """From an answer."""
        shared = {frozenset(each["segments"]): each["size"] for each in body["intersections"]}
        return cls(body["sizes"], shared, body["union"])


@dataclass(frozen=True, slots=True)
class UploadedList:
    """A list of profile ids."""

    key: str
    name: str
    size: int

    @classmethod
    def of(cls, body: Json) -> "UploadedList":
        """From an answer."""
        return cls(body["key"], body["name"], body["size"])


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a profile is, or is not, in a segment. `tree` has the shape of the rule."""

    profile_id: str
    segment: str
    version: int
    member: bool
    as_of: datetime
    tree: Mapping[str, Any]

    @classmethod
    def of(cls, body: Json) -> "Explanation":
        """From an answer."""
        return cls(
            body["profile_id"],
            body["segment"],
            body["version"],
            body["member"],
            instant(body["as_of"]),
            body["tree"],
        )
