"""The ledger's tables, schema `reconciler`. docs/ledger.md describes every column for operators who query them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Sequence,
    Table,
    Text,
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

SCHEMA = "reconciler"
metadata = MetaData(schema=SCHEMA)

NOW = text("clock_timestamp()")
ZERO = text("0")
MOMENT = TIMESTAMP(timezone=True)

meter = Table(
    "meter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("start", MOMENT, nullable=False),
    Column("start_chosen", Boolean, nullable=False, server_default=false()),
    Column("watermark", MOMENT, nullable=False),
    Column("purge_mark", MOMENT),
    Column("source", JSONB, nullable=False),
    Column("lago", Text, nullable=False),
    Column("organization", Text),
    Column("created_at", MOMENT, nullable=False, server_default=NOW),
    Column("place", Text),
    Column("placed_at", MOMENT),
    comment="One stream of billing: where it starts, how far it has come, where it reads and sends.",
)

terms = Table(
    "terms",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("since", MOMENT, primary_key=True),
    Column("code", Text, nullable=False),
    Column("charge_by", Text, nullable=False),
    Column("window_seconds", Integer, nullable=False),
    Column("model_column", Text, nullable=False),
    Column("cache_hits", Boolean, nullable=False),
    Column("exclude", ARRAY(Text), nullable=False),
    Column("agreed_at", MOMENT, nullable=False, server_default=NOW),
    Column("metric_seen", Boolean, nullable=False, server_default=false()),
    comment="What a meter bills by, from a window boundary on; earlier windows keep the terms they had.",
)

window = Table(
    "window",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("start", MOMENT, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("unattributed_rows", BigInteger, nullable=False),
    Column("unattributed_cost", Numeric, nullable=False),
    Column("suspect_rows", BigInteger, nullable=False),
    Column("frozen_buckets", BigInteger, nullable=False),
    Column("frozen_cost", Numeric, nullable=False),
    Column("unmapped_buckets", BigInteger, nullable=False),
    Column("unmapped_cost", Numeric, nullable=False),
    Column("kept_requests", BigInteger),
    Column("late_rows", BigInteger, nullable=False),
    Column("late_cost", Numeric, nullable=False),
    Column("looked_at", MOMENT, nullable=False, server_default=NOW),
    Column("asked_at", MOMENT),
    Column("asked_until", MOMENT),
    Column("unpriced_rows", BigInteger, nullable=False, server_default=ZERO),
    Column("unpriced_tokens", BigInteger, nullable=False, server_default=ZERO),
    Column("unpriced_models", ARRAY(Text), nullable=False, server_default="{}"),
    Column("open_until", MOMENT),
    comment="What the last look saw of a window, and when Lago was first asked for its events.",
)

Index(
    "window_left",
    window.c.meter,
    window.c.start,
    postgresql_where=text(
        "frozen_buckets > 0 OR unmapped_buckets > 0 OR suspect_rows > 0 OR late_rows > 0 OR late_cost > 0"
    ),
)

event = Table(
    "event",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("window_start", MOMENT, primary_key=True),
    Column("bucket", LargeBinary, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("customer", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("payload", Text, nullable=False),
    CheckConstraint(
        "least(input_tokens, output_tokens, requests, cost) >= 0"
        " OR greatest(input_tokens, output_tokens, requests, cost) <= 0",
        name="event_measures",
    ),
    Index("event_of_batch", "batch"),
    comment="One delta of one bucket, frozen: rows are only added, and only the batch that carries one may change.",
)

credit = Table(
    "credit",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("window_start", MOMENT, primary_key=True),
    Column("bucket", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("customer", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("accepted_at", MOMENT, nullable=False, server_default=NOW),
    Column("accepted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("undone_at", MOMENT),
    Column("undone_by", Text),
    Column("undone_reason", Text),
    CheckConstraint("least(input_tokens, output_tokens, requests, cost) >= 0", name="credit_measures"),
    comment="What a person has credited in Lago of a frozen bucket: taken off what is billed, and never sent.",
)

callback_event = Table(
    "callback_event",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("code", Text, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("moment", MOMENT, nullable=False),
    Column("model", Text, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cost", Numeric),
    Column("seen_at", MOMENT, nullable=False, server_default=NOW),
    Column("window_start", MOMENT),
    Column("bucket", LargeBinary),
    Index("callback_event_moment", "meter", "moment"),
    comment="What LiteLLM's own callback has sent to Lago, as Lago shows it, and which bucket it is taken over for.",
)

takeover = Table(
    "takeover",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("window_start", MOMENT, primary_key=True),
    Column("bucket", LargeBinary, primary_key=True),
    Column("cutover", BigInteger, primary_key=True, autoincrement=False),
    Column("customer", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("requests", BigInteger, nullable=False),
    CheckConstraint("least(input_tokens, output_tokens, requests, cost) >= 0", name="takeover_measures"),
    comment="What LiteLLM's callback has billed of a bucket: part of what is billed, and never sent.",
)

cutover = Table(
    "cutover",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("meter", Text, nullable=False),
    Column("since", MOMENT, nullable=False),
    Column("until", MOMENT, nullable=False),
    Column("code", Text, nullable=False),
    Column("done_at", MOMENT, nullable=False, server_default=NOW),
    Column("done_by", Text, nullable=False),
    Column("figures", JSONB, nullable=False),
    comment="A cut-over from LiteLLM's callback: which windows, and what was found.",
)

batch_id = Sequence("batch_id", metadata=metadata)

batch = Table(
    "batch",
    metadata,
    Column("id", BigInteger, batch_id, primary_key=True, server_default=batch_id.next_value()),
    Column("meter", Text, nullable=False),
    Column("first_window", MOMENT, nullable=False),
    Column("last_window", MOMENT, nullable=False),
    Column("events", Integer, nullable=False),
    Column("input_tokens", Numeric, nullable=False),
    Column("output_tokens", Numeric, nullable=False),
    Column("requests", Numeric, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("behind", Boolean, nullable=False, server_default=false()),
    Column("state", Text, nullable=False, server_default="planned"),
    Column("held_for", Text),
    Column("conflict", Boolean, nullable=False, server_default=false()),
    Column("planned_at", MOMENT, nullable=False, server_default=NOW),
    Column("asked_at", MOMENT),
    Column("admitted_at", MOMENT),
    Column("attempts", Integer, nullable=False, server_default=ZERO),
    Column("attempted_at", MOMENT),
    Column("leased_until", MOMENT),
    Column("open_since", MOMENT),
    Column("failures", Integer, nullable=False, server_default=ZERO),
    Column("failed_at", MOMENT),
    Column("failure", Text),
    Column("proof", Integer, nullable=False, server_default=ZERO),
    Column("rests_until", MOMENT),
    Column("answered_at", MOMENT),
    Column("answer", Text),
    Column("decided_at", MOMENT),
    Column("decided_by", Text),
    Column("reason", Text),
    Column("verified_at", MOMENT),
    Column("repaired_at", MOMENT),
    Column("subscribers_seen", Boolean, nullable=False, server_default=false()),
    CheckConstraint("state IN ('planned', 'accepted', 'quarantined', 'discarded', 'held')", name="batch_state"),
    CheckConstraint("(state = 'held') = (held_for IS NOT NULL)", name="batch_held_for"),
    Index("batch_of_window", "meter", "first_window"),
    comment="Events that go to Lago in one request, and all that is known of their delivery.",
    postgresql_with={"fillfactor": "70"},
)

Index(
    "batch_not_accepted",
    batch.c.meter,
    batch.c.state,
    batch.c.first_window,
    postgresql_where=text("state <> 'accepted'"),
)
Index(
    "batch_not_verified",
    batch.c.meter,
    batch.c.first_window,
    postgresql_where=text("state = 'accepted' AND verified_at IS NULL"),
)
Index("batch_accepted_at", batch.c.answered_at, postgresql_where=text("state = 'accepted'"))

lago = Table(
    "lago",
    metadata,
    Column("base", Text, primary_key=True),
    Column("store", Text, nullable=False, server_default="unknown"),
    Column("asked_at", MOMENT, nullable=False, server_default=NOW),
    Column("away_since", MOMENT),
    Column("invoices", ARRAY(Text)),
    CheckConstraint("store IN ('postgres', 'clickhouse', 'unknown')", name="lago_store"),
    comment="One Lago: which event store it has, and since when it is away.",
)

subscription = Table(
    "subscription",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("lago", Text, nullable=False),
    Column("organization", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("external_customer_id", Text),
    Column("lago_id", Text),
    Column("status", Text, nullable=False),
    Column("created_at", MOMENT),
    Column("started_at", MOMENT),
    Column("ended_at", MOMENT),
    Column("period_started_at", MOMENT),
    Column("period_ends_at", MOMENT),
    Column("on_termination_invoice", Text),
    Column("asked_at", MOMENT, nullable=False),
    Column("good_until", MOMENT, nullable=False),
    CheckConstraint("status IN ('active', 'terminated', 'none')", name="subscription_status"),
    comment="What Lago has told of the subscriptions of an external id, until it has to be asked again.",
)

unbilled = Table(
    "unbilled",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("window_start", MOMENT, primary_key=True),
    Column("why", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("buckets", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    CheckConstraint("why IN ('unmapped', 'frozen', 'suspect', 'late')", name="unbilled_why"),
    comment="Whose usage is not billed as it should be, and why, as the last look saw it.",
)

unsubscribed = Table(
    "unsubscribed",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("external_id", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("cost", Numeric, nullable=False),
    Column("first_window", MOMENT, nullable=False),
    Column("last_window", MOMENT, nullable=False),
    Column("asked_at", MOMENT, nullable=False),
    Column("began_at", MOMENT),
    Column("noted_at", MOMENT, nullable=False, server_default=NOW),
    comment="Usage that was sent for an external id of which Lago knows no subscription.",
)

billed_period = Table(
    "billed_period",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("external_id", Text, nullable=False),
    Column("until", MOMENT, nullable=False),
    Column("verified_at", MOMENT, nullable=False),
    comment="Up to where a subscription was found billed for what was sent.",
)

closing = Table(
    "closing",
    metadata,
    Column("meter", Text, primary_key=True),
    Column("id", LargeBinary, primary_key=True),
    Column("instant", MOMENT, primary_key=True),
    Column("subscription", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("closed_at", MOMENT, nullable=False, server_default=NOW),
    Column("events", BigInteger),
    Column("cost", Numeric),
    Column("ended_at", MOMENT),
    Column("outcome", Text),
    comment="Up to which instants a subscription was billed before its plan was to change or end.",
)

look = Table(
    "look",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("meter", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("since", MOMENT, nullable=False),
    Column("until", MOMENT, nullable=False),
    Column("position", MOMENT, nullable=False),
    Column("started_at", MOMENT, nullable=False, server_default=NOW),
    Column("finished_at", MOMENT),
    CheckConstraint("kind IN ('probe', 'deep', 'backfill')", name="look_kind"),
    Index("look_of_meter", "meter", "kind", "started_at"),
    comment="A probe, deep look or backfill: how far it has come, and when it was done.",
)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("meter", Text, nullable=False),
    Column("started_at", MOMENT, nullable=False, server_default=NOW),
    Column("finished_at", MOMENT),
    Column("outcome", Text),
    Column("summary", JSONB),
    Column("source_clock", MOMENT),
    Column("newest_row", MOMENT),
    Index("run_of_meter", "meter", "started_at"),
    comment="One pass over one meter: when, how it ended, and its summary.",
)

alarm = Table(
    "alarm",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("meter", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("extent", Numeric, nullable=False),
    Column("cost", Numeric, nullable=False, server_default=ZERO),
    Column("raised_at", MOMENT, nullable=False, server_default=NOW),
    Column("seen_at", MOMENT, nullable=False, server_default=NOW),
    Column("cleared_at", MOMENT),
    Column("acknowledged_at", MOMENT),
    Column("least_extent", Numeric),
    Column("least_cost", Numeric),
    Column("reason", Text),
    Column("rang_at", MOMENT, nullable=False, server_default=NOW),
    Column("shown_at", MOMENT),
    Column("told_at", MOMENT),
    Column("over_told_at", MOMENT),
    Column("telling_until", MOMENT),
    Index("alarm_standing", "meter", "kind", unique=True, postgresql_where=text("cleared_at IS NULL")),
    comment="What a person should look at, one row a kind while it stands.",
)
