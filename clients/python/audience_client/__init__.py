"""A typed client of Audience Manager's segment API."""

from audience_client.asynchronous import AsyncAudienceClient
from audience_client.errors import ApiError, ApiFault, ApiUnreachable
from audience_client.models import (
    Change,
    Explanation,
    Member,
    Membership,
    Memberships,
    Overlap,
    Profile,
    Sample,
    Segment,
    Size,
    UploadedList,
    Version,
)
from audience_client.synchronous import AudienceClient

__all__ = [
    "ApiError",
    "ApiFault",
    "ApiUnreachable",
    "AsyncAudienceClient",
    "AudienceClient",
    "Change",
    "Explanation",
    "Member",
    "Membership",
    "Memberships",
    "Overlap",
    "Profile",
    "Sample",
    "Segment",
    "Size",
    "UploadedList",
    "Version",
]
