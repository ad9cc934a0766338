"""Workspaces: what every key, row and token belongs to."""

from audience.adapters.postgres.pool import Connection


async def ensure_workspace(connection: Connection, workspace: str) -> None:
    """Create the workspace where it is not there. Its slug holds no colon: it begins every Kafka key."""
    await connection.execute("INSERT INTO workspaces (workspace) VALUES ($1) ON CONFLICT DO NOTHING", workspace)
