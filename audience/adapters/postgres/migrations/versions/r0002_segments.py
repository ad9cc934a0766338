"""The segments of a workspace, every version of their rules, and what the jobs have been told."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the catalog. Rules are text, since jsonb refuses the character U+0000 that a rule may test for.

    `revision` is taken from one sequence under the catalog's lock, so that the order of revisions is the order of
    commits and a reader that asks for all beyond the last it saw misses none. A deleted segment keeps its row until
    the jobs have been told and its memberships are gone.
    """
    op.execute("CREATE SEQUENCE segment_revisions")
    op.execute("""
        CREATE TABLE segments (
            workspace          text   NOT NULL REFERENCES workspaces,
            key                text   COLLATE "C" NOT NULL,
            name               text   NOT NULL,
            description        text   NOT NULL,
            rule               text   NOT NULL,
            tags               text[] NOT NULL,
            status             text   NOT NULL CHECK (status IN ('draft', 'live', 'paused', 'archived', 'deleted')),
            refers_to          text[] NOT NULL,
            version            bigint NOT NULL,
            revision           bigint NOT NULL UNIQUE,
            published_revision bigint NOT NULL DEFAULT 0,
            created_ms         bigint NOT NULL,
            updated_ms         bigint NOT NULL,
            PRIMARY KEY (workspace, key)
        )
    """)
    op.execute("CREATE INDEX segments_unpublished ON segments (revision) WHERE published_revision < revision")
    op.execute("""
        CREATE TABLE segment_versions (
            workspace  text   NOT NULL,
            key        text   COLLATE "C" NOT NULL,
            version    bigint NOT NULL,
            rule       text   NOT NULL,
            created_ms bigint NOT NULL,
            PRIMARY KEY (workspace, key, version),
            FOREIGN KEY (workspace, key) REFERENCES segments ON DELETE CASCADE
        )
    """)
