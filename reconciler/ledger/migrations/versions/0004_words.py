"""Keep on record what a person has credited in Lago."""

from alembic import op

revision = "0004"
down_revision = "0003"

_CREDITS = """
CREATE TABLE reconciler.credit (
    meter TEXT NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    bucket BYTEA NOT NULL,
    number INTEGER NOT NULL,
    customer TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    requests BIGINT NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    undone_at TIMESTAMP WITH TIME ZONE,
    undone_by TEXT,
    undone_reason TEXT,
    PRIMARY KEY (meter, window_start, bucket, number),
    CONSTRAINT credit_measures CHECK (least(input_tokens, output_tokens, requests, cost) >= 0)
);

COMMENT ON TABLE reconciler.credit IS 'What a person has credited in Lago of a frozen bucket: taken off what is billed, and never sent.';
"""


def upgrade() -> None:
    """Add the table of credits."""
    op.execute(_CREDITS)
