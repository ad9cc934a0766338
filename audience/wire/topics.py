"""The Kafka topics and the JSON values in them, each with a ``schema`` field that names its kind and version.

Keys are ``{workspace}:{id}`` (`key_of`), so that one cluster can serve many workspaces and a compacted topic never
mixes two of them. docs/topics.md is the reader's page. Unknown fields are ignored on reading, so a field can be added
without a new version; a field that changes its meaning gets a new ``schema``.
"""

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from audience.profiles.model import Membership

EVENTS: Final = "events"
EVENTS_BAD: Final = "events.bad"
SEGMENTS: Final = "segments"
MEMBERSHIPS: Final = "memberships"
PROFILES: Final = "profiles"
PROFILE_LISTS: Final = "profiles.lists"
COMPUTED_TRAITS: Final = "computed-traits"
COMMANDS: Final = "profiles.commands"
REPLIES: Final = "profiles.replies"
EPOCHS: Final = "rule-evaluation.epochs"
DEFINED_IN: Final = (SEGMENTS, COMPUTED_TRAITS)
"""The compacted topics of what is the same for all profiles."""


def key_of(workspace: str, identifier: str) -> str:
    """The key of a record. A workspace's slug holds no colon, so the first one ends it."""
    return f"{workspace}:{identifier}"


class PlanViolation(Struct, frozen=True, gc=False):
    """What is wrong with an accepted event by its source's tracking plan. `path` is a JSON pointer into the event."""

    code: str
    path: str
    message: str


class EventRecord(Struct, frozen=True, gc=False, tag_field="schema", tag="event/1", omit_defaults=True, kw_only=True):
    """An accepted event (topic `events`, key = profile). Times are Unix milliseconds, but for the originals.

    `original_timestamp` and `sent_at` stand as the SDK sent them; `integrations` and `context` are kept whole.
    `violation` is there where the source's tracking plan says that such events are flagged.
    """

    workspace: str
    source: str
    profile_id: str
    message_id: str
    type: str
    time_ms: int
    received_ms: int
    name: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    properties: dict[str, Any] = msgspec.field(default_factory=dict)
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    traits: dict[str, Any] = msgspec.field(default_factory=dict)
    integrations: dict[str, Any] = msgspec.field(default_factory=dict)
    original_timestamp: str | None = None
    sent_at: str | None = None
    violation: PlanViolation | None = None


class ExplainCommand(Struct, frozen=True, gc=False, tag_field="schema", tag="command.explain/1", kw_only=True):
    """Ask the job why a profile is, or is not, in a segment (topic `profiles.commands`, key = profile).

    The answer is an `ExplainReply` on `profiles.replies` with the same `request_id`.
    """

    workspace: str
    profile_id: str
    request_id: str
    segment: str


class ProfileListsRecord(Struct, frozen=True, gc=False, tag_field="schema", tag="profile-lists/1", kw_only=True):
    """Every list that a profile is on as of `revision` (topic `profiles.lists`, compacted, key = profile): absolute."""

    workspace: str
    profile_id: str
    revision: int
    lists: tuple[str, ...]


class BackfillCommand(Struct, frozen=True, gc=False, tag_field="schema", tag="command.backfill/1", kw_only=True):
    """A part of a profile's history, for the segments that wait for these backfills (topic `profiles.commands`).

    `events` are events of the topic `events` with their offsets there, in order, behind those of the parts before. With
    the `last` part every event below `cut` that those segments can ask for was given; there may be none.
    """

    workspace: str
    profile_id: str
    backfills: tuple[int, ...]
    cut: int
    events: tuple[tuple[int, Raw], ...]
    last: bool


class ReplayCommand(Struct, frozen=True, gc=False, tag_field="schema", tag="command.replay/1", kw_only=True):
    """Archived events that a job without state takes in as if they came now (topic `profiles.commands`, key = profile).

    They lie before all that Kafka still has.
    """

    workspace: str
    profile_id: str
    events: tuple[Raw, ...]


ProfileCommand = ExplainCommand | ProfileListsRecord | BackfillCommand | ReplayCommand
"""What the streaming job reads by profile beside events, told apart by ``schema``."""


class ExplainReply(
    Struct, frozen=True, gc=False, tag_field="schema", tag="reply.explain/1", kw_only=True, omit_defaults=True
):
    """The job's answer (key = request id). `explanation` is the contract's JSON; None where `error` says why."""

    request_id: str
    explanation: dict[str, Any] | None = None
    error: Literal["profile_not_found", "segment_not_found"] | None = None


class BadEventRequest(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What a bad event's request gave to it beside its own bytes: a single call's type, or what its batch shared."""

    type: str | None = None
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None
    sent_at: str | None = None


class BadEventRecord(
    Struct, frozen=True, gc=False, tag_field="schema", tag="bad-event/1", omit_defaults=True, kw_only=True
):
    """What could not be accepted or processed (topic `events.bad`), with its reason and its original bytes.

    `original` is base64 of the bytes as received. `profile_id` is set where the event got so far as to have one,
    `request` where it came by HTTP, so that it can be sent again.
    """

    workspace: str
    source: str
    code: str
    path: str
    message: str
    received_ms: int
    original: bytes
    profile_id: str | None = None
    request: BadEventRequest | None = None


class OutstandingBackfill(Struct, frozen=True, gc=False):
    """The segment's new leaves wait for their history: `new_leaves` are their ids (`audience.engine.lowering`)."""

    number: int
    new_leaves: tuple[str, ...]


class SegmentRecord(
    Struct, frozen=True, gc=False, tag_field="schema", tag="segment/1", omit_defaults=True, kw_only=True
):
    """A segment's definition (topic `segments`, compacted, key = segment).

    `revision` grows with every change of any segment; readers ignore a record that is older than what they have.
    A deleted segment is first written with the status ``deleted``, then as a tombstone. `born` is the revision that it
    was made with: one of its key that was there before is another segment.
    """

    workspace: str
    key: str
    revision: int
    version: int
    status: str
    rule: Raw
    name: str = ""
    backfill: OutstandingBackfill | None = None
    born: int = 0


class ComputedTraitRecord(Struct, frozen=True, gc=False, tag_field="schema", tag="computed-trait/1", kw_only=True):
    """A computed trait's definition (topic `computed-traits`, compacted, key = computed trait).

    `revision` is taken from the same numbers as that of segments. A deleted one is first written with the status
    ``deleted``, then as a tombstone.
    """

    workspace: str
    key: str
    revision: int
    status: Literal["live", "deleted"]
    definition: Raw


Definition = SegmentRecord | ComputedTraitRecord
"""What the streaming job reads for all profiles, told apart by ``schema``."""


class ProfileRecord(
    Struct, frozen=True, gc=False, tag_field="schema", tag="profile/1", omit_defaults=True, kw_only=True
):
    """A profile as of `version` (topic `profiles`, compacted, key = profile): absolute, never a difference.

    `version` only grows, across restores too; writers keep the record with the greatest.
    """

    workspace: str
    profile_id: str
    version: int
    created_ms: int
    updated_ms: int
    traits: dict[str, Any] = msgspec.field(default_factory=dict)
    computed: dict[str, Any] = msgspec.field(default_factory=dict)
    segments: list[Membership] = msgspec.field(default_factory=list)


class MembershipChange(Struct, frozen=True, gc=False, tag_field="schema", tag="membership/1", kw_only=True):
    """A profile entered or exited a segment (topic `memberships`, key = profile, in order for each profile).

    `version` is the profile's, `segment_version` the segment's; `at_ms` is when it was processed.
    """

    workspace: str
    profile_id: str
    segment: str
    change: Literal["entered", "exited"]
    at_ms: int
    version: int
    segment_version: int


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""Any record of this module to its JSON bytes."""

decode_profile_command = msgspec.json.Decoder(ProfileCommand).decode
decode_event = msgspec.json.Decoder(EventRecord).decode
decode_bad_event = msgspec.json.Decoder(BadEventRecord).decode
decode_definition = msgspec.json.Decoder(Definition).decode
decode_segment = msgspec.json.Decoder(SegmentRecord).decode
decode_computed_trait = msgspec.json.Decoder(ComputedTraitRecord).decode
decode_profile_lists = msgspec.json.Decoder(ProfileListsRecord).decode
decode_profile = msgspec.json.Decoder(ProfileRecord).decode
decode_membership_change = msgspec.json.Decoder(MembershipChange).decode
decode_explain_reply = msgspec.json.Decoder(ExplainReply).decode
