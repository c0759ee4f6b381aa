"""Keep what alarms need, whose usage waits, what a person has credited, what was verified."""

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

_ALARMS = """
ALTER TABLE reconciler.alarm RENAME COLUMN acknowledged_extent TO least_extent;

ALTER TABLE reconciler.alarm
    ADD COLUMN cost NUMERIC DEFAULT 0 NOT NULL,
    ADD COLUMN least_cost NUMERIC,
    ADD COLUMN rang_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN shown_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN told_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN over_told_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN telling_until TIMESTAMP WITH TIME ZONE;

UPDATE reconciler.alarm SET rang_at = raised_at;

ALTER TABLE reconciler.alarm
    ALTER COLUMN rang_at SET DEFAULT clock_timestamp(),
    ALTER COLUMN rang_at SET NOT NULL;
"""

_CUSTOMERS = """
CREATE TABLE reconciler.unbilled (
    meter TEXT NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    why TEXT NOT NULL,
    id BYTEA NOT NULL,
    customer TEXT NOT NULL,
    buckets BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    PRIMARY KEY (meter, window_start, why, id),
    CONSTRAINT unbilled_why CHECK (why IN ('unmapped', 'frozen', 'suspect', 'late'))
);

COMMENT ON TABLE reconciler.unbilled IS 'Whose usage is not billed as it should be, and why, as the last look saw it.';

CREATE TABLE reconciler.unsubscribed (
    meter TEXT NOT NULL,
    id BYTEA NOT NULL,
    external_id TEXT NOT NULL,
    events BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    first_window TIMESTAMP WITH TIME ZONE NOT NULL,
    last_window TIMESTAMP WITH TIME ZONE NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    began_at TIMESTAMP WITH TIME ZONE,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (meter, id)
);

ALTER TABLE reconciler.batch ADD COLUMN subscribers_seen BOOLEAN DEFAULT false NOT NULL;

COMMENT ON TABLE reconciler.unsubscribed IS 'Usage that was sent for an external id of which Lago knows no subscription.';
"""

_VERIFIED = """
ALTER TABLE reconciler.batch
    ADD COLUMN verified_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN repaired_at TIMESTAMP WITH TIME ZONE;

CREATE INDEX batch_not_verified ON reconciler.batch (meter, first_window)
    WHERE state = 'accepted' AND verified_at IS NULL;

CREATE TABLE reconciler.billed_period (
    meter TEXT NOT NULL,
    id BYTEA NOT NULL,
    external_id TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    verified_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (meter, id)
);

COMMENT ON TABLE reconciler.billed_period IS 'Up to where a subscription was found billed for what was sent.';
"""

_LATE = """
-- What is above billed is billed, so what came late costs only what its buckets hold beyond that: late_cost.
ALTER TABLE reconciler."window" DROP COLUMN kept_cost;

CREATE INDEX window_left ON reconciler."window" (meter, start)
    WHERE frozen_buckets > 0 OR unmapped_buckets > 0 OR suspect_rows > 0 OR late_rows > 0 OR late_cost > 0;
"""

_ODD_SOURCES = """
ALTER TABLE reconciler."window"
    ADD COLUMN unpriced_rows BIGINT DEFAULT 0 NOT NULL,
    ADD COLUMN unpriced_tokens BIGINT DEFAULT 0 NOT NULL,
    ADD COLUMN unpriced_models TEXT[] DEFAULT '{}' NOT NULL;

ALTER TABLE reconciler.run
    ADD COLUMN source_clock TIMESTAMP WITH TIME ZONE,
    ADD COLUMN newest_row TIMESTAMP WITH TIME ZONE;
"""

_CLOSED = """
ALTER TABLE reconciler."window" ADD COLUMN open_until TIMESTAMP WITH TIME ZONE;

CREATE TABLE reconciler.closing (
    meter TEXT NOT NULL,
    id BYTEA NOT NULL,
    instant TIMESTAMP WITH TIME ZONE NOT NULL,
    subscription TEXT NOT NULL,
    customer TEXT NOT NULL,
    closed_by TEXT NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    events BIGINT,
    cost NUMERIC,
    ended_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    PRIMARY KEY (meter, id, instant)
);

COMMENT ON TABLE reconciler.closing IS 'Up to which instants a subscription was billed before its plan was to change or end.';
"""

_OLDER_LEDGERS = """
ALTER TABLE reconciler.meter
    ADD COLUMN place TEXT,
    ADD COLUMN placed_at TIMESTAMP WITH TIME ZONE;
"""

_CUTOVER = """
CREATE TABLE reconciler.callback_event (
    meter TEXT NOT NULL,
    id UUID NOT NULL,
    code TEXT NOT NULL,
    subscription TEXT NOT NULL,
    moment TIMESTAMP WITH TIME ZONE NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT,
    output_tokens BIGINT,
    total_tokens BIGINT,
    cost NUMERIC,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE,
    bucket BYTEA,
    PRIMARY KEY (meter, id)
);

CREATE INDEX callback_event_moment ON reconciler.callback_event (meter, moment);

COMMENT ON TABLE reconciler.callback_event IS 'What LiteLLM''s own callback has sent to Lago, as Lago shows it, and which bucket it is taken over for.';

CREATE TABLE reconciler.takeover (
    meter TEXT NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    bucket BYTEA NOT NULL,
    cutover BIGINT NOT NULL,
    customer TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (meter, window_start, bucket, cutover),
    CONSTRAINT takeover_measures CHECK (least(input_tokens, output_tokens, requests, cost) >= 0)
);

COMMENT ON TABLE reconciler.takeover IS 'What LiteLLM''s callback has billed of a bucket: part of what is billed, and never sent.';

CREATE TABLE reconciler.cutover (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    meter TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    code TEXT NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    done_by TEXT NOT NULL,
    figures JSONB NOT NULL,
    PRIMARY KEY (id)
);

COMMENT ON TABLE reconciler.cutover IS 'A cut-over from LiteLLM''s callback: which windows, and what was found.';
"""


_MOVES = """
-- Usage that is moved to another subscription is taken back first: by an event with measures below zero.
ALTER TABLE reconciler.event
    DROP CONSTRAINT event_measures,
    ADD CONSTRAINT event_measures CHECK (
        least(input_tokens, output_tokens, requests, cost) >= 0
        OR greatest(input_tokens, output_tokens, requests, cost) <= 0
    );
"""


def upgrade() -> None:
    """Add them."""
    op.execute(_CREDITS)
    op.execute(_ALARMS)
    op.execute(_CUSTOMERS)
    op.execute(_VERIFIED)
    op.execute(_ODD_SOURCES)
    op.execute(_LATE)
    op.execute(_MOVES)
    op.execute(_CLOSED)
    op.execute(_OLDER_LEDGERS)
    op.execute(_CUTOVER)
