"""What kind a source is, when it was revoked, how much it may send; which bad events were sent again."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns. A revoked source stays, for the events that name it; its key opens nothing any more."""
    op.execute("""
        ALTER TABLE sources
            ADD COLUMN kind         text NOT NULL DEFAULT 'server' CHECK (kind IN ('server', 'browser', 'mobile')),
            ADD COLUMN events_per_s integer CHECK (events_per_s > 0),
            ADD COLUMN revoked_at   timestamptz
    """)
    op.execute("""
        CREATE TABLE bad_event_replays (
            partition   integer NOT NULL,
            record      bigint NOT NULL,
            replayed_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (partition, record)
        )
    """)
