"""Let a batch hold what is known of its events' delivery; events are only added from here on."""

from alembic import op

revision = "0003"
down_revision = "0002"

_BATCHES = """
CREATE SEQUENCE reconciler.batch_id;

CREATE TABLE reconciler.batch (
    id BIGINT DEFAULT nextval('reconciler.batch_id') NOT NULL,
    meter TEXT NOT NULL,
    first_window TIMESTAMP WITH TIME ZONE NOT NULL,
    last_window TIMESTAMP WITH TIME ZONE NOT NULL,
    events INTEGER NOT NULL,
    input_tokens NUMERIC NOT NULL,
    output_tokens NUMERIC NOT NULL,
    requests NUMERIC NOT NULL,
    cost NUMERIC NOT NULL,
    behind BOOLEAN DEFAULT false NOT NULL,
    state TEXT DEFAULT 'planned' NOT NULL,
    held_for TEXT,
    conflict BOOLEAN DEFAULT false NOT NULL,
    planned_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE,
    admitted_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    attempted_at TIMESTAMP WITH TIME ZONE,
    leased_until TIMESTAMP WITH TIME ZONE,
    open_since TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT 0 NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE,
    failure TEXT,
    proof INTEGER DEFAULT 0 NOT NULL,
    rests_until TIMESTAMP WITH TIME ZONE,
    answered_at TIMESTAMP WITH TIME ZONE,
    answer TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    decided_by TEXT,
    reason TEXT
) WITH (fillfactor = 70);

COMMENT ON TABLE reconciler.batch IS 'Events that go to Lago in one request, and all that is known of their delivery.';

-- A million events take about a minute, and this can't be done in parts.
SET LOCAL statement_timeout = 0;

SET LOCAL work_mem = '128MB';

-- What lies in one batch shares its day (UTC), its state and all that was known of its delivery. Of accepted events
-- only the last attempt and the last answer are kept. Others share their revision, too: a bucket's revisions go one after
-- the other. What has long names goes alone.
CREATE TEMP TABLE placed ON COMMIT DROP AS
SELECT meter, window_start, bucket, revision,
       dense_rank() OVER (ORDER BY day, meter COLLATE "C", fate, long, (place - 1) / CASE WHEN long THEN 1 ELSE 100 END) AS number
FROM (SELECT meter, window_start, bucket, revision, day, fate, long,
             row_number() OVER (PARTITION BY day, meter COLLATE "C", fate, long ORDER BY window_start) AS place
      FROM (SELECT meter, window_start, bucket, revision,
                   floor(extract(epoch FROM window_start) / 86400)::int AS day,
                   octet_length(customer) + octet_length(model) + octet_length(subscription) > 2000 AS long,
                   CASE WHEN state = 'accepted'
                        THEN row(conflict, answer, failure, decided_at, reason)::text
                        ELSE row(state, held_for, conflict, revision, attempts, attempted_at, leased_until, answered_at, answer,
                                 open_since, failure, suspected, rests_until, decided_at, reason)::text
                   END COLLATE "C" AS fate
            FROM reconciler.event) AS seen) AS in_order;

CREATE TABLE reconciler.event_of_batches (
    meter TEXT NOT NULL,
    window_start TIMESTAMP WITH TIME ZONE NOT NULL,
    bucket BYTEA NOT NULL,
    revision INTEGER NOT NULL,
    batch BIGINT NOT NULL,
    customer TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost NUMERIC NOT NULL,
    requests BIGINT NOT NULL,
    subscription TEXT NOT NULL,
    payload TEXT NOT NULL
);

INSERT INTO reconciler.event_of_batches
SELECT meter, window_start, bucket, revision, number, customer, model, input_tokens, output_tokens, cost, requests, subscription, payload
FROM reconciler.event JOIN placed USING (meter, window_start, bucket, revision);

INSERT INTO reconciler.batch (id, meter, first_window, last_window, events, input_tokens, output_tokens, requests, cost, behind, state,
                              held_for, conflict, planned_at, asked_at, attempts, attempted_at, leased_until, open_since,
                              failures, failure, proof, rests_until, answered_at, answer, decided_at, reason)
SELECT number, meter, min(window_start), max(window_start), count(*), sum(input_tokens), sum(output_tokens), sum(requests), sum(cost),
       bool_or(state <> 'accepted' AND revision > 0), min(state), min(held_for), bool_or(conflict),
       coalesce(min(attempted_at), clock_timestamp()), max(attempted_at), max(attempts), max(attempted_at), max(leased_until),
       max(open_since), 0, max(failure), 0, max(rests_until), max(answered_at), max(answer), max(decided_at), max(reason)
FROM reconciler.event JOIN placed USING (meter, window_start, bucket, revision)
GROUP BY number, meter;

SELECT setval('reconciler.batch_id', max(id)) FROM reconciler.batch HAVING max(id) IS NOT NULL;

-- Lago was asked about the windows of these, so that their batches need not wait for it.
UPDATE reconciler.batch
SET asked_at = NULL
WHERE state = 'planned'
  AND EXISTS (SELECT FROM reconciler.event_of_batches AS event
                   JOIN reconciler."window" ON "window".meter = event.meter AND "window".start = event.window_start
              WHERE event.batch = batch.id AND "window".asked_at IS NULL);

DROP TABLE reconciler.event;

ALTER TABLE reconciler.event_of_batches RENAME TO event;

ALTER TABLE reconciler.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (meter, window_start, bucket, revision),
    ADD CONSTRAINT event_measures CHECK (least(input_tokens, output_tokens, requests, cost) >= 0);

CREATE INDEX event_of_batch ON reconciler.event (batch);

COMMENT ON TABLE reconciler.event IS 'One delta of one bucket, frozen: rows are only added, and only the batch that carries one may change.';

ALTER TABLE reconciler.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (id),
    ADD CONSTRAINT batch_state CHECK (state IN ('planned', 'accepted', 'quarantined', 'discarded', 'held')),
    ADD CONSTRAINT batch_held_for CHECK ((state = 'held') = (held_for IS NOT NULL));

CREATE INDEX batch_of_window ON reconciler.batch (meter, first_window);

CREATE INDEX batch_not_accepted ON reconciler.batch (meter, state, first_window) WHERE state <> 'accepted';

CREATE INDEX batch_accepted_at ON reconciler.batch (answered_at) WHERE state = 'accepted';

ALTER TABLE reconciler.meter ADD COLUMN organization TEXT;

ALTER TABLE reconciler.terms ADD COLUMN metric_seen BOOLEAN DEFAULT false NOT NULL;

-- A meter that Lago has accepted events of has its metric, or was told long ago that it has none.
UPDATE reconciler.terms SET metric_seen = EXISTS (SELECT FROM reconciler.batch WHERE batch.meter = terms.meter AND state = 'accepted');

ALTER TABLE reconciler."window" ADD COLUMN asked_until TIMESTAMP WITH TIME ZONE;

ALTER TABLE reconciler.lago ADD COLUMN invoices TEXT[];

CREATE TABLE reconciler.subscription (
    id BYTEA NOT NULL,
    number INTEGER NOT NULL,
    lago TEXT NOT NULL,
    organization TEXT NOT NULL,
    external_id TEXT NOT NULL,
    external_customer_id TEXT,
    lago_id TEXT,
    status TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    period_started_at TIMESTAMP WITH TIME ZONE,
    period_ends_at TIMESTAMP WITH TIME ZONE,
    on_termination_invoice TEXT,
    asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    good_until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id, number),
    CONSTRAINT subscription_status CHECK (status IN ('active', 'terminated', 'none'))
);

COMMENT ON TABLE reconciler.subscription IS 'What Lago has told of the subscriptions of an external id, until it has to be asked again.';

ANALYZE reconciler.event, reconciler.batch;
"""


def upgrade() -> None:
    """Put every event in a batch."""
    op.execute(_BATCHES)
