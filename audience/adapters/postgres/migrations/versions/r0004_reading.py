"""What the segment API reads besides profiles: changes, sizes over time, lists, computed traits; tokens with scopes."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables, and a number for each profile, which bitmaps of members are made of.

    The number stands beside each membership too, and in its index, so that the members of a segment are read as
    numbers from the index alone. `seq` is taken from one sequence while the row of the segment's size is locked, so
    that within a segment the order of numbers is the order of commits (docs/adr/0011-changes-beside-the-index.md).
    """
    op.execute("CREATE SEQUENCE profile_numbers")
    op.execute("ALTER TABLE membership_versions ADD COLUMN number bigint")
    op.execute("UPDATE membership_versions SET number = nextval('profile_numbers')")
    op.execute("ALTER TABLE membership_versions ALTER COLUMN number SET NOT NULL")
    op.execute("ALTER TABLE memberships ADD COLUMN number bigint")
    op.execute("""
        UPDATE memberships SET number = known.number FROM membership_versions AS known
        WHERE known.workspace = memberships.workspace AND known.profile_id = memberships.profile_id
    """)
    op.execute("""
        ALTER TABLE memberships
            ALTER COLUMN number SET NOT NULL,
            DROP CONSTRAINT memberships_pkey,
            ADD CONSTRAINT memberships_pkey PRIMARY KEY (workspace, segment_key, profile_id) INCLUDE (number)
    """)
    op.execute("CREATE SEQUENCE membership_change_seq")
    op.execute("""
        CREATE TABLE membership_changes (
            workspace       text    COLLATE "C" NOT NULL,
            segment_key     text    COLLATE "C" NOT NULL,
            seq             bigint  NOT NULL,
            profile_id      bytea   NOT NULL,
            number          bigint  NOT NULL,
            entered         boolean NOT NULL,
            at_ms           bigint  NOT NULL,
            segment_version bigint  NOT NULL,
            PRIMARY KEY (workspace, segment_key, seq)
        )
    """)
    # Who is a member already entered: whoever applies the changes from the start has the members.
    op.execute("""
        INSERT INTO membership_changes
        SELECT stored.workspace, stored.segment_key, nextval('membership_change_seq'), stored.profile_id, stored.number,
            true, stored.since_ms, coalesce(segment.version, 0)
        FROM (SELECT * FROM memberships ORDER BY since_ms) AS stored
        LEFT JOIN segments AS segment ON segment.workspace = stored.workspace AND segment.key = stored.segment_key
    """)
    op.execute("CREATE INDEX membership_changes_by_age ON membership_changes USING brin (at_ms)")
    op.execute("ALTER TABLE segment_sizes ADD COLUMN forgotten_seq bigint NOT NULL DEFAULT 0")
    op.execute("""
        CREATE TABLE segment_size_history (
            workspace   text   COLLATE "C" NOT NULL,
            segment_key text   COLLATE "C" NOT NULL,
            at_ms       bigint NOT NULL,
            size        bigint NOT NULL,
            PRIMARY KEY (workspace, segment_key, at_ms)
        )
    """)
    op.execute("CREATE INDEX segment_size_history_by_age ON segment_size_history (at_ms)")
    op.execute("""
        ALTER TABLE segments
            ADD COLUMN reads_lists           text[] NOT NULL DEFAULT '{}',
            ADD COLUMN reads_computed_traits text[] NOT NULL DEFAULT '{}'
    """)
    op.execute("""
        CREATE TABLE lists (
            workspace  text   COLLATE "C" NOT NULL REFERENCES workspaces,
            key        text   COLLATE "C" NOT NULL,
            name       text   NOT NULL,
            size       bigint NOT NULL DEFAULT 0,
            created_ms bigint NOT NULL,
            updated_ms bigint NOT NULL,
            PRIMARY KEY (workspace, key)
        )
    """)
    op.execute("""
        CREATE TABLE list_members (
            workspace  text  COLLATE "C" NOT NULL,
            profile_id bytea NOT NULL,
            list_key   text  COLLATE "C" NOT NULL,
            PRIMARY KEY (workspace, profile_id, list_key),
            FOREIGN KEY (workspace, list_key) REFERENCES lists
        )
    """)
    op.execute("CREATE INDEX list_members_by_list ON list_members (workspace, list_key)")
    op.execute("CREATE SEQUENCE list_revisions")
    op.execute("""
        CREATE TABLE list_untold (
            workspace  text   COLLATE "C" NOT NULL,
            profile_id bytea  NOT NULL,
            revision   bigint NOT NULL,
            PRIMARY KEY (workspace, profile_id)
        )
    """)
    op.execute("""
        CREATE TABLE computed_traits (
            workspace          text   COLLATE "C" NOT NULL REFERENCES workspaces,
            key                text   COLLATE "C" NOT NULL,
            definition         text   NOT NULL,
            deleted            boolean NOT NULL DEFAULT false,
            revision           bigint NOT NULL,
            published_revision bigint NOT NULL DEFAULT 0,
            created_ms         bigint NOT NULL,
            updated_ms         bigint NOT NULL,
            PRIMARY KEY (workspace, key)
        )
    """)
    op.execute("CREATE INDEX computed_traits_untold ON computed_traits (revision) WHERE published_revision < revision")
    op.execute("""
        ALTER TABLE tokens
            ADD COLUMN scopes       text[] NOT NULL DEFAULT '{*}',
            ADD COLUMN expires_at   timestamptz,
            ADD COLUMN last_used_at timestamptz
    """)
    op.execute("""
        CREATE TABLE idempotency_keys (
            workspace   text   COLLATE "C" NOT NULL,
            key         text   COLLATE "C" NOT NULL,
            fingerprint bytea  NOT NULL,
            claimed_ms  bigint NOT NULL,
            status      int,
            headers     text,
            body        bytea,
            PRIMARY KEY (workspace, key)
        )
    """)
