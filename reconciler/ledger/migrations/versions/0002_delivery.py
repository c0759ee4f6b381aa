"""Know of each event whether an attempt is open, and of each Lago its store and whether it is away."""

from alembic import op

revision = "0002"
down_revision = "0001"

_CHANGES = """
ALTER TABLE reconciler.event
    ADD COLUMN open_since TIMESTAMP WITH TIME ZONE,
    ADD COLUMN failure TEXT,
    ADD COLUMN suspected INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN rests_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN decided_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN reason TEXT;

-- What an earlier version had claimed and not settled may have been sent.
UPDATE reconciler.event SET open_since = attempted_at WHERE state = 'planned' AND attempts > 0;

CREATE TABLE reconciler.lago (
    base TEXT NOT NULL,
    store TEXT DEFAULT 'unknown' NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    away_since TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (base),
    CONSTRAINT lago_store CHECK (store IN ('postgres', 'clickhouse', 'unknown'))
);

COMMENT ON TABLE reconciler.lago IS 'One Lago: which event store it has, and since when it is away.'
"""


def upgrade() -> None:
    """Add what delivery needs."""
    op.execute(_CHANGES)
