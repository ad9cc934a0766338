"""How far the evaluation of segments has come; which profile is meant by an id that is not its own."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Of progress one row, since one job evaluates the segments of all workspaces."""
    op.execute("""
        CREATE TABLE evaluation_progress (
            one            boolean PRIMARY KEY DEFAULT true CHECK (one),
            events_ms      bigint NOT NULL,
            definitions_ms bigint NOT NULL
        ) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)
    """)
    op.execute("""
        CREATE TABLE external_ids (
            workspace   text   COLLATE "C" NOT NULL,
            type        text   COLLATE "C" NOT NULL,
            value       bytea  NOT NULL,
            profile_id  bytea  NOT NULL,
            received_ms bigint NOT NULL,
            PRIMARY KEY (workspace, type, value)
        )
    """)
    op.execute("CREATE INDEX external_ids_by_profile ON external_ids (workspace, profile_id)")
