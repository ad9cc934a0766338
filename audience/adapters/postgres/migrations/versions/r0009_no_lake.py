"""Backfills that nobody carries out, for want of a lake, say so."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Allow the state."""
    op.execute("ALTER TABLE backfills DROP CONSTRAINT backfills_state_check")
    op.execute("""
        ALTER TABLE backfills ADD CONSTRAINT backfills_state_check CHECK (
            state IN ('waiting', 'running', 'paused', 'done', 'cancelled', 'failed', 'unavailable'))
    """)
