"""segment-api: segments, memberships and profiles for client applications (docs/api.md)."""
