"""Profiles by id, and memberships by segment, for reading."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create both stores. Ids are UTF-8 bytes, since text refuses U+0000 and an id may be any JSON string.

    Documents are JSON bytes, of which PostgreSQL reads nothing. Pages keep room, so that a new version of a profile
    stays on its page and touches no index; vacuum comes early, since every write leaves a dead row behind.
    """
    op.execute("""
        CREATE TABLE profile_records (
            workspace   text   COLLATE "C" NOT NULL,
            profile_id  bytea  NOT NULL,
            version     bigint NOT NULL,
            memberships bytea  NOT NULL,
            attributes  bytea  NOT NULL,
            PRIMARY KEY (workspace, profile_id)
        ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("""
        CREATE TABLE membership_versions (
            workspace   text   COLLATE "C" NOT NULL,
            profile_id  bytea  NOT NULL,
            version     bigint NOT NULL,
            memberships bytea  NOT NULL,
            PRIMARY KEY (workspace, profile_id)
        ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("""
        CREATE TABLE memberships (
            workspace   text   COLLATE "C" NOT NULL,
            segment_key text   COLLATE "C" NOT NULL,
            profile_id  bytea  NOT NULL,
            since_ms    bigint NOT NULL,
            PRIMARY KEY (workspace, segment_key, profile_id)
        ) WITH (autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("""
        CREATE TABLE segment_sizes (
            workspace   text   COLLATE "C" NOT NULL,
            segment_key text   COLLATE "C" NOT NULL,
            size        bigint NOT NULL,
            PRIMARY KEY (workspace, segment_key)
        ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
    """)
