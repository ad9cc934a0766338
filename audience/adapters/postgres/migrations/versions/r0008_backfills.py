"""Backfills of segments, the passes over the lake that they share, and what each segment measures."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables and columns.

    `leaves` are the ids of the windows and sequences that a rule measures, null where nobody has said; `new_leaves`
    those of them without their history. `saved_revision` moves with what an author writes, `revision` also when a
    backfill is over; `revised_ms` is when it last moved. Segments from before keep what they have: nothing is known of
    its history.
    """
    op.execute("""
        ALTER TABLE segments
            ADD COLUMN leaves         text[],
            ADD COLUMN new_leaves     text[] NOT NULL DEFAULT '{}',
            ADD COLUMN backfill       bigint,
            ADD COLUMN saved_revision bigint NOT NULL DEFAULT 0,
            ADD COLUMN revised_ms     bigint NOT NULL DEFAULT 0
    """)
    op.execute("UPDATE segments SET saved_revision = revision, revised_ms = updated_ms")
    op.execute("""
        CREATE TABLE backfill_passes (
            id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            workspace  text   NOT NULL REFERENCES workspaces,
            phase      text   NOT NULL CHECK (phase IN ('defining', 'archiving', 'sending', 'confirming', 'ended')),
            marks      text   NOT NULL,
            cut        text   NOT NULL DEFAULT '{}',
            place      bigint NOT NULL DEFAULT 0,
            profiles   bigint NOT NULL DEFAULT 0,
            done       bigint NOT NULL DEFAULT 0,
            events     bigint NOT NULL DEFAULT 0,
            began_ms   bigint NOT NULL,
            sending_ms bigint
        )
    """)
    op.execute("CREATE INDEX backfill_passes_open ON backfill_passes (id) WHERE phase <> 'ended'")
    op.execute("""
        CREATE TABLE backfills (
            number     bigint PRIMARY KEY,
            workspace  text   NOT NULL,
            segment    text   COLLATE "C" NOT NULL,
            version    bigint NOT NULL,
            state      text   NOT NULL CHECK (
                state IN ('waiting', 'running', 'paused', 'done', 'cancelled', 'failed')),
            reason     text,
            pass       bigint REFERENCES backfill_passes,
            left_at    bigint,
            created_ms bigint NOT NULL,
            ended_ms   bigint,
            FOREIGN KEY (workspace, segment) REFERENCES segments ON DELETE CASCADE
        )
    """)
    op.execute("CREATE INDEX backfills_of_segment ON backfills (workspace, segment, number)")
    op.execute("CREATE INDEX backfills_open ON backfills (number) WHERE ended_ms IS NULL")
