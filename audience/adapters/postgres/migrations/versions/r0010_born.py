"""Segments know what revision they were made with."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column: a segment of a key that was there before is another one. 0 for those from before."""
    op.execute("ALTER TABLE segments ADD COLUMN born bigint NOT NULL DEFAULT 0")
