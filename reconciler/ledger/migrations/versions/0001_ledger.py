"""Make the ledger."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE reconciler.alarm (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    meter TEXT NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    extent NUMERIC NOT NULL,
    raised_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    cleared_at TIMESTAMP WITH TIME ZONE,
    acknowledged_at TIMESTAMP WITH TIME ZONE,
    acknowledged_extent NUMERIC,
    reason TEXT,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX alarm_standing ON reconciler.alarm (meter, kind) WHERE cleared_at IS NULL;

COMMENT ON TABLE reconciler.alarm IS 'What a person should look at, one row a kind while it stands.';

CREATE TABLE reconciler.event (
    meter TEXT NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    bucket BYTEA NOT NULL,
    revision INTEGER NOT NULL,
    customer TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    requests BIGINT NOT NULL,
    subscription TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    conflict BOOLEAN DEFAULT false NOT NULL,
    held_for TEXT,
    attempts INTEGER DEFAULT 0 NOT NULL,
    attempted_at TIMESTAMP WITH TIME ZONE,
    leased_until TIMESTAMP WITH TIME ZONE,
    answered_at TIMESTAMP WITH TIME ZONE,
    answer TEXT,
    PRIMARY KEY (meter, window_start, bucket, revision),
    CONSTRAINT event_state CHECK (state IN ('planned', 'accepted', 'quarantined', 'discarded', 'held')),
    CONSTRAINT event_held_for CHECK ((state = 'held') = (held_for IS NOT NULL)),
    CONSTRAINT event_measures CHECK (least(input_tokens, output_tokens, requests, cost) >= 0)
);

CREATE INDEX event_not_accepted ON reconciler.event (meter, state, window_start) WHERE state <> 'accepted';

COMMENT ON TABLE reconciler.event IS 'One delta of one bucket, frozen: append-only, only its state of delivery changes.';

CREATE TABLE reconciler.look (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    meter TEXT NOT NULL,
    kind TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    position TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT look_kind CHECK (kind IN ('probe', 'deep', 'backfill'))
);

CREATE INDEX look_of_meter ON reconciler.look (meter, kind, started_at);

COMMENT ON TABLE reconciler.look IS 'A probe, deep look or backfill: how far it has come, and when it was done.';

CREATE TABLE reconciler.meter (
    name TEXT NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    start_chosen BOOLEAN DEFAULT false NOT NULL,
    watermark TIMESTAMP WITH TIME ZONE NOT NULL,
    purge_mark TIMESTAMP WITH TIME ZONE,
    source JSONB NOT NULL,
    lago TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (name)
);

COMMENT ON TABLE reconciler.meter IS 'One stream of billing: where it starts, how far it has come, where it reads and sends.';

CREATE TABLE reconciler.run (
    id TEXT NOT NULL,
    meter TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    summary JSONB,
    PRIMARY KEY (id)
);

CREATE INDEX run_of_meter ON reconciler.run (meter, started_at);

COMMENT ON TABLE reconciler.run IS 'One pass over one meter: when, how it ended, and its summary.';

CREATE TABLE reconciler.terms (
    meter TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    code TEXT NOT NULL,
    charge_by TEXT NOT NULL,
    window_seconds INTEGER NOT NULL,
    model_column TEXT NOT NULL,
    cache_hits BOOLEAN NOT NULL,
    exclude TEXT[] NOT NULL,
    agreed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (meter, since)
);

COMMENT ON TABLE reconciler.terms IS 'What a meter bills by, from a window boundary on; earlier windows keep the terms they had.';

CREATE TABLE reconciler."window" (
    meter TEXT NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    rows BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    unattributed_rows BIGINT NOT NULL,
    unattributed_cost NUMERIC NOT NULL,
    suspect_rows BIGINT NOT NULL,
    frozen_buckets BIGINT NOT NULL,
    frozen_cost NUMERIC NOT NULL,
    unmapped_buckets BIGINT NOT NULL,
    unmapped_cost NUMERIC NOT NULL,
    kept_requests BIGINT,
    kept_cost NUMERIC,
    late_rows BIGINT NOT NULL,
    late_cost NUMERIC NOT NULL,
    looked_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (meter, start)
);

COMMENT ON TABLE reconciler."window" IS 'What the last look saw of a window, and when Lago was first asked for its events.';
"""


def upgrade() -> None:
    """Make the ledger's tables; the schema is there already."""
    op.execute(_TABLES)
