"""Backfills that nobody carries out, for want of a lake, say so; segments know what they were made with."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Allow the state; add the column: a segment of a key that was there before is another one."""
    op.execute("ALTER TABLE segments ADD COLUMN born bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE backfills DROP CONSTRAINT backfills_state_check")
    op.execute("""
        ALTER TABLE backfills ADD CONSTRAINT backfills_state_check CHECK (
            state IN ('waiting', 'running', 'paused', 'done', 'cancelled', 'failed', 'unavailable'))
    """)
