"""Workspaces, the sources that send events, the tokens that read."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables. A write key is public (browsers hold it); of a token only the SHA-256 is kept."""
    op.execute("""
        CREATE TABLE workspaces (
            workspace  text PRIMARY KEY CHECK (workspace ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        CREATE TABLE sources (
            workspace  text NOT NULL REFERENCES workspaces,
            source     text NOT NULL CHECK (source ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
            name       text NOT NULL,
            write_key  text NOT NULL UNIQUE,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace, source)
        )
    """)
    op.execute("""
        CREATE TABLE tokens (
            token_sha256 bytea PRIMARY KEY CHECK (length(token_sha256) = 32),
            workspace    text NOT NULL REFERENCES workspaces,
            name         text NOT NULL,
            created_at   timestamptz NOT NULL DEFAULT now(),
            UNIQUE (workspace, name)
        )
    """)
