"""What a token may do: each request needs one scope. The scope ``*`` is every one, later ones too.

Refuses (403) a path that is not named here to every token without ``*``, so that a route added later is closed.
"""

from typing import Final

from audience.ports.catalog import ANY_SCOPE, TokenAccess
from services._kit.errors import ApiError

_READS: Final = ("GET", "HEAD")
_MEMBERS: Final = ("members", "export", "changes", "overlap")
"""Parts of a segment that tell who is in it, or how many share it with another."""


def scope_of(method: str, path: str) -> str:
    """The scope that a request needs; `path` as it was sent."""
    _, _, area, *rest = (*path.split("/"), "", "")
    reads = method in _READS
    match area:
        case "memberships":
            return "memberships:read"
        case "profiles":
            if not reads:
                return "profiles:write"
            return "memberships:read" if rest[1:2] == ["segments"] else "profiles:read"
        case "spaces":
            return "profiles:read"
        case "segments" if reads and rest[1:2] and rest[1] in _MEMBERS:
            return "memberships:read"
        case "segments" if rest[:1] == ["preview"]:
            return "segments:read"
        case "segments" | "computed-traits":
            return "segments:read" if reads else "segments:write"
        case "lists":
            return "segments:read" if reads else "lists:write"
        case "sources":
            return "sources:read" if reads else "sources:write"
        case "bad-events":
            return "bad-events:read" if reads else "bad-events:replay"
        case _:
            return ANY_SCOPE


def require(access: TokenAccess, scope: str) -> None:
    """Raise ApiError 403 where the token lacks the scope."""
    if scope not in access.scopes and ANY_SCOPE not in access.scopes:
        raise ApiError(403, "forbidden", f"this needs a token with the scope {scope!r}")
