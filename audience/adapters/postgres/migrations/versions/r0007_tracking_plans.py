"""Tracking plans of sources, and how often their events break them."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the tables."""
    op.execute("CREATE SEQUENCE tracking_plan_revisions")
    op.execute("""
        CREATE TABLE tracking_plans (
            workspace  text NOT NULL,
            source     text NOT NULL,
            document   text NOT NULL,
            revision   bigint NOT NULL,
            updated_ms bigint NOT NULL,
            PRIMARY KEY (workspace, source)
        )
    """)
    op.execute("""
        CREATE TABLE tracking_plan_violations (
            workspace    text NOT NULL,
            source       text NOT NULL,
            day          date NOT NULL,
            event        text NOT NULL,
            code         text NOT NULL,
            mode         text NOT NULL,
            events       bigint NOT NULL,
            last_ms      bigint NOT NULL,
            last_path    text NOT NULL,
            last_message text NOT NULL,
            PRIMARY KEY (workspace, source, day, event, code, mode)
        )
    """)
