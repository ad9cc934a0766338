"""How far the evaluation of segments has come."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """One row, since one job evaluates the segments of all workspaces."""
    op.execute("""
        CREATE TABLE evaluation_progress (
            one            boolean PRIMARY KEY DEFAULT true CHECK (one),
            events_ms      bigint NOT NULL,
            definitions_ms bigint NOT NULL
        ) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)
    """)
